"""Sizes of errors, added up over chunks: the largest and where it is, their sum, how many, the relatively largest."""

from __future__ import annotations

import math

import numpy as np

from aligner.numerics.blocks import Workspace, total
from aligner.records.array import Array
from aligner.records.comparison import Errors

SPACE = Workspace()
"""Working space of a chunk: "delta", "size", "flags", "other"."""
TINY = 1e-30
"""Sums of squares below which float32 may have lost them."""
CANCELLED = 1e-3
"""Share of what it was made of below which a difference of sums is worked out anew."""
_FEW = 16
"""Elements are picked one by one where they are fewer than one in so many."""
_NEARLY = 1 - 1e-6
"""Keeps what a product in float32 rounds away from hiding an element."""
_FIRST = 2048
"""Elements whose relative errors are divided out before there is any to compare with."""


class ErrorAccumulator:
    """Takes flat chunks of the reference, the candidate and their difference, in order."""

    def __init__(self, atol: float, rtol: float) -> None:
        self._atol, self._rtol = atol, rtol
        self.seen = self.unequal = self.beyond = 0
        self.absolute = self.worst = self.relative = 0.0
        self.worst_at = 0
        """The flat index of the largest error; the first one's of several."""
        self._any = False

    def update(self, reference: Array, candidate: Array, delta: Array, size: Array) -> float:
        """Take in a chunk that holds a difference; ``size`` is |reference|. Leaves |delta| in ``delta``.

        Returns the chunk's largest error.
        """
        self.unequal += int(np.count_nonzero(np.not_equal(delta, 0, out=_flags(delta))))
        magnitude = np.abs(delta, out=delta)
        self.absolute += total(magnitude)
        at = int(magnitude.argmax())
        worst = abs(float(candidate[at]) - float(reference[at]))
        if worst > self.worst or not self._any:
            self.worst, self.worst_at, self._any = worst, self.seen + at, True
        if worst > self._atol:
            self.beyond += self._beyond_in(magnitude, size)
        self._raise_relative(magnitude, size)
        self.seen += int(delta.size)
        return worst

    def skip(self, count: int) -> None:
        """Pass over elements that are equal."""
        self.seen += count

    def _beyond_in(self, magnitude: Array, size: Array) -> int:
        """How many errors are beyond atol + rtol · |reference|, asked of those beyond atol alone where they are few."""
        magnitude, size = _picked(np.greater(magnitude, self._atol, out=_flags(size)), magnitude, size)
        allowed = np.multiply(size, self._rtol, out=SPACE.buffer("other", size.size, size.dtype))
        allowed += self._atol
        return int(np.count_nonzero(np.greater(magnitude, allowed, out=_flags(size))))

    def _raise_relative(self, magnitude: Array, size: Array) -> None:
        """Divide only errors that may be relatively larger than all before."""
        if not self.relative > 0 and size.size > _FIRST:
            self._divide(magnitude[:_FIRST], size[:_FIRST])
        if self.relative > 0:
            least = np.multiply(size, self.relative * _NEARLY, out=SPACE.buffer("other", size.size, size.dtype))
            magnitude, size = _picked(np.greater(magnitude, least, out=_flags(size)), magnitude, size)
        if size.size:
            self._divide(magnitude, size)

    def _divide(self, magnitude: Array, size: Array) -> None:
        ratio = np.divide(magnitude, size, out=SPACE.buffer("other", size.size, size.dtype))
        np.copyto(ratio, 0, where=np.equal(size, 0, out=_flags(size)))
        self.relative = max(self.relative, float(ratio.max(initial=0.0)))

    def result(
        self, shape: tuple[int, ...], finite: int, rmse: float, cosine: float | None, *, mismatched: int = 0
    ) -> Errors:
        """The errors of tensors of that shape, of which so many elements were ``finite`` on both sides."""
        return Errors(
            max_abs=self.worst if finite or not self.seen else math.nan,
            mean_abs=self.absolute / max(finite, 1),
            sum_abs=self.absolute,
            rmse=rmse,
            max_rel=self.relative,
            cosine=cosine,
            worst_index=_unravelled(self.worst_at, shape) if self.seen else (),
            beyond=(self.beyond + mismatched) / max(self.seen, 1),
        )


def _unravelled(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    found = []
    for dim in reversed(shape):
        place, at = divmod(place, dim)
        found.append(at)
    return tuple(reversed(found))


def _flags(array: Array) -> Array:
    return SPACE.buffer("flags", array.size, bool)


def _picked(flags: Array, *arrays: Array) -> list[Array]:
    """The elements that are flagged; all of them where too many are for picking to pay."""
    if np.count_nonzero(flags) >= flags.size // _FEW:
        return list(arrays)
    places = np.flatnonzero(flags)
    return [array[places] for array in arrays]


def cosine(product: float, reference_squares: float, candidate_squares: float) -> float | None:
    """Of the angle between two tensors; None where one of them is zero."""
    norms = math.sqrt(reference_squares) * math.sqrt(candidate_squares)
    return min(1.0, max(-1.0, product / norms)) if norms > 0 and math.isfinite(norms) else None
