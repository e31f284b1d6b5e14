"""Factors that a converter moved from one layer to another, in half precision, by what the layers behind make of them.

There bounds are as wide as many a factor, and excuse one that nothing undoes. A regression tells the two: what comes of
the reference's tensor in the place of the scaled one differs by the factor where a later layer undoes it, and what the
candidate gives holds nothing of that difference. Where nothing undoes it, the candidate's own error is that difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from aligner.judgement.gain import unit_of
from aligner.judgement.joint_test import JointTest, Shown
from aligner.judgement.lone_factors import SURE, lacks, regression
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.tolerance import region_numbers
from aligner.records.array import Array

_STEPS, _LARGEST, _ALONE = 8, 40, 3
"""As closed regions grow; a layer that undoes a small factor may be right by itself, within its bound."""


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
        inside, alone = self.walk.with_copies([start]), 0
        for _ in range(_STEPS):
            exits, last = self.walk.exits(inside), self.walk.outputs(inside)
            known = [value for value in inside if self.guilty(value)]
            halves = self.walk.ahead(inside, self.guilty) or len(known) > 1
            alone = 0 if halves else alone + 1
            if len(inside) > _LARGEST or not exits + last or alone > _ALONE:
                return None
            ends = list(dict.fromkeys(exits + last))
            shown = self.test.test(self.walk.reached(inside) | self.walk.free, ends, ends)
            wrong = list(self._wrong(start, inside, ends, shown))
            if not wrong:
                others = (value for value in known if value != start)
                clean = all(self._undone(value, inside, ends, shown) for value in others)
                return (inside, shown) if clean else None
            if set(wrong) & set(last):
                return None
            inside |= self.walk.with_copies(self.walk.beside(wrong, inside, self.guilty) or wrong)
        return None

    def _undone(self, value: str, inside: set[str], ends: list[str], shown: Shown) -> bool:
        """Whether something at the ends is of another form for a value, and nothing that errs with it."""
        return len(list(self._wrong(value, inside, ends, shown))) < len(ends)

    def _wrong(self, start: str, inside: set[str], ends: list[str], shown: Shown) -> Iterator[str]:
        """Ends that are beyond their limits, larger as a whole by more than one rounding, or wrong by the factor."""
        graphs, items = self.test.graphs, self.walk.items
        unit = max(unit_of(region_numbers(graphs, items[value])) for value in (*inside, *ends))
        free = (self.walk.reached(inside) | self.walk.free) - self.walk.with_copies([start])
        without = self.test.changed(free, ends).arrays
        for value in ends:
            one = shown.exits.get(value)
            if one is None or not one.within or value not in without:
                yield value
                continue
            found, expected = (np.asarray(array, np.float64) for array in shown.arrays[value])
            if _is_scaled(found, expected, unit) or not lacks(
                expected, np.asarray(without[value][0], np.float64), found
            ):
                yield value


def _is_scaled(found: Array, expected: Array, unit: float) -> bool:
    """Whether a tensor is larger or smaller as a whole by more than one rounding of a number that is stored in it, and
    what is left of those that cancel: of few channels that is not known, and a quarter of one at most."""
    gain = regression(expected, found - expected)
    return gain is None or abs(gain[0]) > unit + min(SURE * gain[1], unit / 4)
