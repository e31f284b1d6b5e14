"""Factors that a converter moved from one layer to another, in half precision, by what the layers behind make of them.

There bounds are as wide as many a factor, and excuse one that nothing undoes. A regression tells the two: what comes of
the reference's tensor in the place of the scaled one differs by the factor where a later layer undoes it, and what the
candidate gives holds nothing of that difference. Where nothing undoes it, the candidate's own error is that difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from aligner.judgement.gain import unit_of
from aligner.judgement.joint_test import JointTest, Shown
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.regression import SURE, lacks, regression
from aligner.judgement.tolerance import region_numbers
from aligner.records.array import Array
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class MovedFactors:
    """Looks for regions that a factor is undone in; ``guilty``: of the values that may hold a factor or undo one."""

    walk: RegionWalk
    test: JointTest
    guilty: Callable[[str], bool]

    def region(self, value: str) -> tuple[set[str], Shown] | None:
        """The region that a layer which is off by a factor is the beginning of, or the end, and what leaves it."""
        for start in (value, *self.walk.inputs(value)):
            if start not in self.walk.items or start in self.walk.free:
                continue
            found = self._grown(start)
            if found is not None and self._holds(found[0], value):
                return found
        return None

    def _holds(self, inside: set[str], value: str) -> bool:
        return value in inside or value in self.walk.exits(inside)

    def _grown(self, start: str) -> tuple[set[str], Shown] | None:
        """Grow forward until nothing that leaves the region holds anything of the factor."""
        found = self.walk.grown(self.walk.with_copies([start]), self.guilty, partial(self._wrong, start))
        if found is None:
            return None
        ends = list(dict.fromkeys((*self.walk.exits(found), *self.walk.outputs(found))))
        others = (value for value in found if self.guilty(value) and value != start)
        return (found, self._shown(found, ends)) if all(self._undone(one, found, ends) for one in others) else None

    def _shown(self, inside: set[str], ends: Sequence[str]) -> Shown:
        return self.test.test(self.walk.reached(inside) | self.walk.free, ends, ends)

    def _undone(self, value: str, inside: set[str], ends: Sequence[str]) -> bool:
        """Whether something at the ends is of another form for a value, and nothing that errs with it."""
        return len(self._wrong(value, inside, ends)) < len(ends)

    def _wrong(self, start: str, inside: set[str], ends: Sequence[str]) -> list[str]:
        """Ends that are beyond their limits, larger as a whole by more than one rounding, or wrong by the factor."""
        shown, wrong = self._shown(inside, ends), list[str]()
        graphs, items = self.test.graphs, self.walk.items
        unit = max(unit_of(region_numbers(graphs, items[value])) for value in (*inside, *ends))
        free = (self.walk.reached(inside) | self.walk.free) - self.walk.with_copies([start])
        without = self.test.changed(free, ends).arrays
        for value in ends:
            one = shown.exits.get(value)
            if one is None or not one.within or value not in without:
                wrong.append(value)
                continue
            found, expected = (np.asarray(array, np.float64) for array in shown.arrays[value])
            if _is_scaled(found, expected, unit) or not lacks(
                expected, np.asarray(without[value][0], np.float64), found
            ):
                wrong.append(value)
        return wrong


def _is_scaled(found: Array, expected: Array, unit: float) -> bool:
    """Whether a tensor is larger or smaller as a whole by more than one rounding of a number that is stored in it, and
    what is left of those that cancel: of few channels that is not known, and a quarter of one at most."""
    gain = regression(expected, found - expected)
    return gain is None or abs(gain[0]) > unit + min(SURE * gain[1], unit / 4)
