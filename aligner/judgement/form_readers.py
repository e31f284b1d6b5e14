"""Readers that are to blame for a fault, and expect the candidate's form of what they read all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aligner.judgement.random_change import UNDONE
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.reordered import is_another_form, is_offset
from aligner.judgement.tolerance import masked_otherwise
from aligner.judgement.written_form import makes_up_for
from aligner.records.difference import Difference
from aligner.records.graph import Graph

if TYPE_CHECKING:
    from aligner.judgement.joint_test import JointTest, Shown


@dataclass(frozen=True, slots=True)
class FormReaders:
    """What reads a pair that errs, run on the candidate's tensors; ``free``: what is the candidate's in every run."""

    graphs: tuple[Graph, Graph]
    walk: RegionWalk
    test: JointTest
    free: set[str]

    def expect(self, value: str, start: str, shown: Shown, inside: set[str]) -> bool:
        """Whether a guilty reader errs less on the candidate's form than on the reference's, or does not tell them."""
        own, left = self.walk.items[value].local, shown.exits[value].error
        if own is None or left.mismatched:
            return False
        same = (left.errors.max_abs, left.errors.rmse) == (own.errors.max_abs, own.errors.rmse)
        if same and masked_otherwise(self.graphs, self.walk.items[start]):
            return True  # it makes the same of either number that stands for "masked"
        eased = left.errors.rmse < own.errors.rmse  # else two faults in a row would excuse the first
        eased = eased and not self._is_better_without(value, start, inside, left)
        if eased and left.errors.rmse <= UNDONE * own.errors.rmse:
            return True
        if not _is_reformed(start, shown):
            return False
        if makes_up_for(self.graphs, self.walk.items[value], *shown.arrays[start]):
            return True
        return (eased and not _is_reformed(value, shown)) or self._lacks_offset(value, shown, inside)

    def _is_better_without(self, value: str, start: str, inside: set[str], left: Difference) -> bool:
        """Whether a reader errs less with the reference's tensor in the place of the form, and all else inside as the
        candidate has it: then it is that which it expects, and not the form."""
        rest = inside - self.walk.with_copies([start])
        without = self.test.test(self._computed(rest), [value], []).exits.get(value) if rest else None
        return without is not None and without.error.errors.rmse < left.errors.rmse

    def _lacks_offset(self, value: str, shown: Shown, inside: set[str]) -> bool:
        """Whether a reader is right on the candidate's form but for a number for each channel, and on no other."""
        if value not in shown.arrays or not is_offset(*shown.arrays[value]):
            return False
        free = self._computed(inside) - inside
        fed = self.test.changed(free, [value]).arrays.get(value)
        return fed is not None and not is_offset(*fed)

    def _computed(self, inside: set[str]) -> set[str]:
        return self.walk.reached(inside) | self.free


def _is_reformed(value: str, shown: Shown) -> bool:
    arrays = shown.arrays.get(value)
    return arrays is not None and is_another_form(*arrays)
