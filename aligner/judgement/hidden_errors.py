"""Whether a region that is right where it is left hides an error inside: limits are wide, and activations dead."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from aligner.judgement.random_change import SEEN, UNDONE
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.tolerance import masked_otherwise, region_numbers
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    from aligner.judgement.joint_test import JointTest, Shown


@dataclass(frozen=True, slots=True)
class HiddenErrors:
    """Asks a region's values, by runs of the joint test; ``guilty``: whether a value is blamed so far."""

    walk: RegionWalk
    test: JointTest
    guilty: Callable[[str], bool]

    def computed(self, inside: Collection[str]) -> set[str]:
        """The values that the candidate computes in the test of a region; all others are the reference's."""
        return self.walk.reached(inside) | self.walk.free

    def watched(self, inside: Collection[str]) -> list[str]:
        """What tells of a region: the pairs that read it, else its outputs."""
        return self.walk.exits(inside) or self.walk.outputs(inside)

    def _guilty_in(self, inside: Collection[str]) -> list[str]:
        """Upstream first."""
        return sorted(filter(self.guilty, inside), key=self.walk.place.__getitem__)

    def refused(self, shown: Shown, inside: set[str], ends: Sequence[str] = ()) -> set[str] | None:
        """Wrong values that the region's own values refuse; None where differences inside, as large as they are, would
        not show where the region is left, at these ``ends``, else at all.

        Steps may be so coarse that no change of one tensor shows beside those of all others; one that does is enough.
        Of those that do not, what reads them may say that they are wrong.
        """
        computed, ends = self.computed(inside), ends or self.watched(inside)
        seen, refused = False, set[str]()
        for value in shown.wrong(self._guilty_in(inside)):
            coarse = self.is_coarse(value)
            put_right = coarse and self._is_put_right(value, shown, inside)
            if value not in shown.arrays or (seen and coarse and not put_right):
                continue
            if self.test.sees(value, shown, computed, ends):
                seen = True
            elif put_right and not masked_otherwise(self.test.graphs, self.walk.items[value]):
                refused.add(value)
            elif not coarse:
                return None
        return refused if seen or not self.errs(shown, inside) else None

    def _is_put_right(self, value: str, shown: Shown, inside: set[str]) -> bool:
        """Whether what reads a value comes right with the reference's tensor instead, and nothing further goes wrong:
        no other half waits for the candidate's form."""
        if value not in self.test.runs.injectable:
            return False
        copies = self.walk.with_copies([value])
        others = [one for one in (*sorted(inside - copies), *self.watched(inside)) if one in shown.exits]
        fed = self.test.changed(self.computed(inside) - copies, others).exits
        pairs = [(shown.exits[other], new) for other, new in fed.items()]
        return all(new.within or not old.within for old, new in pairs) and any(
            new.within and not old.within and new.error.errors.rmse <= UNDONE * old.error.errors.rmse
            for old, new in pairs
        )

    def errs(self, shown: Shown, inside: set[str]) -> bool:
        return any(map(self.guilty, shown.wrong(inside)))

    def leaks(self, inside: set[str], shown: Shown, ends: Sequence[str] = ()) -> bool:
        """Whether what leaves a region is better, and by more than rounding, for the reference's tensor at its first
        wrong pair.

        Limits of few bits and of half precision are so wide that a fault passes them. A rewrite's readers expect the
        candidate's form, and err on the other; readers that do better on the reference's form say that the pair is
        right, and its node wrong. They are fed with it as rounding leaves it, as random sums of K roundings grow: √K.
        """
        first = next((value for value in self._guilty_in(inside) if value in self.test.runs.injectable), None)
        if first is None:
            return False
        test = self.test
        free = self.computed(inside) - self.walk.with_copies([first])
        coarse = any(map(self.is_coarse, inside))
        other = test.changed(free, ends or self.watched(inside), moved=not coarse)
        factor = SEEN if coarse else max(SEEN, math.sqrt(test.longest(inside)))
        return any(
            (left := shown.exits.get(value)) is not None
            and not left.error.mismatched
            and (coarse or left.error.errors.max_abs > test.matters(left.error))
            and left.error.errors.rmse > factor * one.error.errors.rmse
            for value, one in other.exits.items()
        )

    def is_coarse(self, value: str) -> bool:
        copies = self.walk.with_copies([value])
        return any(region_numbers(self.test.graphs, self.walk.items[copy]).quantized for copy in copies)
