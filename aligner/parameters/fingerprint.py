"""Numbers of a weight that no transposition, reshape, flip or reordering of its elements changes.

So a match says "the same numbers", not "the same layout". Each stored weight is read for them once.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from weakref import WeakValueDictionary

import numpy as np

from aligner.numerics.blocks import BLOCK, Workspace, dot, single, total
from aligner.numerics.rounding import HALF_MAX
from aligner.parameters.remembered import Remembered
from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass
from aligner.records.graph import Weight

EXACT = 1e-6
"""Relative difference of fingerprints up to which two weights are the same numbers (float32 folding order)."""
ROUNDED = 2e-3
"""… and up to which one is a lower-precision copy of the other (float16, bfloat16)."""
SMALLEST = 4
"""Elements from which numbers say anything."""
_ENOUGH = 32
"""Elements from which rounded copies are looked for: among thousands of short vectors some are alike by chance."""
_ROUNDED_SUMS = 0.01
"""Relative difference of a sum by rounding each of its terms, times the root of their number."""
_LITTLE = 1 << 11
"""Elements for which float64 costs less than the calls that would do without."""
_SPACE = Workspace()
"""Working space of a block: "bits", "size"."""
_TINY = 1e-30
"""Sums of squares below which float32 may have lost them."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Reordering-invariant numbers of one weight, float64."""

    size: int
    total: float
    magnitude: float
    energy: float
    low: float
    high: float

    @property
    def telling(self) -> bool:
        """Whether the numbers say anything: constants and tiny vectors match each other everywhere."""
        return self.size >= SMALLEST and self.high > self.low

    def distance(self, other: Fingerprint) -> float:
        """Largest relative difference of the invariants; infinite when the sizes differ."""
        if self.size != other.size:
            return float("inf")
        extent = max(abs(self.low), abs(self.high), 1e-300)
        return max(*self._sums_apart(other), abs(self.low - other.low) / extent, abs(self.high - other.high) / extent)

    def _sums_apart(self, other: Fingerprint) -> tuple[float, float, float]:
        scale = max(self.magnitude, other.magnitude, 1e-300)
        return (
            abs(self.total - other.total) / scale,
            abs(self.magnitude - other.magnitude) / scale,
            abs(self.energy - other.energy) / max(self.energy, other.energy, 1e-300) / 2,
        )

    def distances(self, others: Wide) -> Wide:
        """``distance`` to many of the same size, columns of a ``table``."""
        total, magnitude, energy, low, high = others
        scale = np.maximum(max(self.magnitude, 1e-300), magnitude)
        extent = max(abs(self.low), abs(self.high), 1e-300)
        gaps = (
            np.abs(self.total - total) / scale,
            np.abs(self.magnitude - magnitude) / scale,
            np.abs(self.energy - energy) / np.maximum(max(self.energy, 1e-300), energy) / 2,
            np.abs(self.low - low) / extent,
            np.abs(self.high - high) / extent,
        )
        found: Wide = np.maximum.reduce(gaps)
        return found

    @property
    def sums_within(self) -> float:
        """Relative difference of sums that rounding every element makes: it averages out over many elements."""
        return max(EXACT, _ROUNDED_SUMS / math.sqrt(self.size))

    def rounds_to(self, other: Fingerprint) -> bool:
        """Whether one may be a lower-precision copy of the other; too short ones cannot tell."""
        if self.size < _ENOUGH or self.distance(other) > ROUNDED:
            return False
        return max(self._sums_apart(other)) <= self.sums_within


ENERGY, LOW = 2, 3
"""Rows of a ``table``."""


def table(prints: Sequence[Fingerprint]) -> Wide:
    """The numbers of many fingerprints, [5, count]: total, magnitude, energy, low, high."""
    rows = [(one.total, one.magnitude, one.energy, one.low, one.high) for one in prints]
    return np.ascontiguousarray(np.array(rows, np.float64).reshape(-1, 5).T)


def fingerprint(array: Array) -> Fingerprint | None:
    """The fingerprint of a numeric array; None where it has no finite numbers or is not numeric."""
    if array.dtype.kind not in "fiub" and array.dtype.name != "bfloat16":
        return None
    flat = np.asarray(array).reshape(-1)
    if flat.size == 0:
        return None
    plain, magnitude, energy, low, high = _sums(flat)
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Fingerprint(size=int(flat.size), total=plain, magnitude=magnitude, energy=energy, low=low, high=high)


def _sums(flat: Array) -> tuple[float, float, float, float, float]:
    """Sums of the elements, their magnitudes and squares; least and greatest, infinite where a number is not finite."""
    plain = magnitude = energy = 0.0
    low, high = math.inf, -math.inf
    limit = HALF_MAX if flat.dtype == np.float16 else math.inf
    for start in range(0, flat.size, BLOCK):
        values = flat[start : start + BLOCK]
        if values.dtype == np.float16 and values.size > _LITTLE:
            values = single(values, _SPACE.buffer("bits", values.size, np.int32))
        elif values.dtype != np.float32 or values.size <= _LITTLE:
            values = values.astype(np.float64)
        least, most = float(np.minimum.reduce(values)), float(np.maximum.reduce(values))
        if not (-limit <= least and most <= limit and math.isfinite(least) and math.isfinite(most)):
            return 0.0, 0.0, 0.0, -math.inf, math.inf
        low, high = min(low, least), max(high, most)
        sums = _of_few(values) if values.size <= _LITTLE else _of_many(values)
        plain, magnitude, energy = plain + sums[0], magnitude + sums[1], energy + sums[2]
    return plain, magnitude, energy, low, high


def _of_few(values: Array) -> tuple[float, float, float]:
    with np.errstate(over="ignore"):
        return float(np.add.reduce(values)), float(np.add.reduce(np.abs(values))), float(values @ values)


def _of_many(values: Array) -> tuple[float, float, float]:
    squares = dot(values, values)
    if not _TINY < squares < math.inf:
        values = values.astype(np.float64)
        squares = dot(values, values)
    return total(values), total(np.abs(values, out=_SPACE.buffer("size", values.size, values.dtype))), squares


def fingerprint_of(weight: Weight) -> Fingerprint | None:
    """The fingerprint of a weight's numbers, worked out once; once for two models whose files share them, too."""
    place = weight.place() if weight.quantization is None else None
    held = weight if place is None else _placed.setdefault((place, weight.dtype, weight.shape), weight)
    return _known.of(held, lambda: fingerprint(held.values()))


_known: Remembered[Fingerprint | None] = Remembered()
_placed: WeakValueDictionary[Hashable, Weight] = WeakValueDictionary()
