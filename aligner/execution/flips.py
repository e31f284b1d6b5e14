"""Which elements of a tensor rounding can flip: those that lie by a boundary, found by moving what they are made from.

Where a region rounds, compares or picks, one element that noise carries over a boundary moves by a whole step, and says
nothing of the others: a floor in a truncation's place is off by the same step at elements that lie by no boundary.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from aligner.records.array import Array, Wide

UNITS = 8.0
"""Rounding units that the operands are moved by: the 8 of the bound u · (8 + √K). Moving each of K terms by 8 u moves
their sum by 8 u √K rms; its own rounding, a random walk over partial sums of √k rms, is u K / √6 rms if summed one by
one and a quarter of it in 16 lanes: less than that up to K = 384, and 6144."""
PAIRS = 4
"""Draws, each both ways. A rounding error of δ ≤ 1/8 of the noise's deviation is not exceeded either way with
probability erf(δ / √2) ≤ 0.1, in all of four draws with 10⁻⁴."""
_LARGEST = 16
"""Elements that err at least half as much as any, from which a draw and its opposite tell whether all are flips: of
those that lie by a boundary nine in ten move, and that half of 16 do not has a probability of 6 · 10⁻⁵."""
_LINEAR = 0.5
"""Noise of ``UNITS`` units moves a smooth response ``UNITS`` times as far as one does; a step stays as high as it is.
Between 1 and ``UNITS`` times, half of it tells them apart."""


class Draw(NamedTuple):
    """Which draw, and how many units, with the sign."""

    number: int
    units: float

    @property
    def follows_a_pair(self) -> bool:
        """Whether every draw before it has had its opposite."""
        return self.number > 1 and self.units > 0


def noise_draws() -> Iterator[Draw]:
    """Each draw and its opposite."""
    for number in range(1, PAIRS + 1):
        yield Draw(number, UNITS)
        yield Draw(number, -UNITS)


class Flips:
    """The local error of a pair, element by element, against the largest move of the side that computes.

    ``by_one_unit`` is how far the tensor moves where its operands move by one rounding unit.
    """

    def __init__(self, expected: Array, found: Array, by_one_unit: float, *, by_reference: bool = False) -> None:
        left, right = _wide(expected), _wide(found)
        self._plain = left if by_reference else right
        self._error = _apart(left, right)
        self._moved = self._error * 0
        self._by_one_unit = by_one_unit

    def take(self, moved: Array) -> None:
        """A further draw."""
        self._moved = np.maximum(self._moved, _apart(_wide(moved), self._plain))

    @property
    def smooth(self) -> bool:
        """Whether the response was seen to have no steps: no further draw takes that back."""
        return bool(self._by_one_unit and self._moved.max(initial=0.0) > _LINEAR * UNITS * self._by_one_unit)

    @property
    def is_no_flip(self) -> bool:
        """Whether, after a draw and its opposite, too many of the largest errors stay unexplained to be flips."""
        large = self._error >= self._error.max(initial=0.0) / 2
        still = self._moved[large] < self._error[large] / (2 * UNITS)
        return bool(still.size >= _LARGEST and 2 * still.sum() >= still.size)

    def unexplained(self) -> float | None:
        """The largest error beyond ``UNITS`` times the element's own move; None of a response without steps."""
        if self.smooth:
            return None
        beyond = self._error - UNITS * self._moved
        return max(0.0, float(beyond.max(initial=0.0)))


def _wide(array: Array) -> Wide:
    return np.asarray(array, np.float64)


def _apart(left: Wide, right: Wide) -> Wide:
    """Differences of what is finite on both sides; the rest is told by other rules."""
    with np.errstate(all="ignore"):
        apart = np.abs(left - right)
    return np.where(np.isfinite(apart), apart, 0.0)
