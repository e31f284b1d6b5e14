"""Two tensors against each other: attributes first, then positions of NaN and infinity, then numbers.

Sums are float64; relative errors are always relative to the reference. Chunks fit a core's cache, so that a tensor is
read from memory once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aligner.records.blocks import BLOCK, Workspace, dot, in_parts, total
from aligner.records.comparison import Errors
from aligner.records.difference import Difference, Unmasked
from aligner.records.masking import MASKED, MOST_UNMASKED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_TINY = 1e-30
"""Sums of squares below which float32 may have lost them."""
_CANCELLED = 1e-3

_SENTINEL = 1e30
"""Magnitudes that stand for "masked" (the least number of float32): not what the rest of a tensor is measured by."""
_SUMS = (
    "_absolute", "_beyond", "_candidate_squares", "_dot", "_finite", "_lost", "_mismatched", "_reference_squares",
    "_seen", "_squares", "_unequal",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over a chunk: δ², r², c² and r·c."""

    squares: float
    reference: float
    candidate: float
    product: float

    @staticmethod
    def of(reference: NDArray[Any], candidate: NDArray[Any], delta: NDArray[Any]) -> _Sums:
        """c² and r·c follow from r² and r·δ, unless they nearly cancel."""
        squares, own = dot(delta, delta), dot(reference, reference)
        cross = dot(reference, delta) if squares else 0.0
        theirs, product = own + 2 * cross + squares, own + cross
        if not theirs > _CANCELLED * (own + squares):
            theirs, product = dot(candidate, candidate), dot(reference, candidate)
        return _Sums(squares, own, theirs, product)

    @property
    def finite(self) -> bool:
        """Whether no element was NaN or infinite, nor too large to be squared."""
        return math.isfinite(self.squares) and math.isfinite(self.reference) and math.isfinite(self.candidate)


class DifferenceAccumulator:
    """Streaming errors of a pair: start → update(reference chunk, candidate chunk) → result."""

    def __init__(self, shape: tuple[int, ...], atol: float, rtol: float) -> None:
        self._shape, self._atol, self._rtol = shape, atol, rtol
        self._seen = self._finite = self._beyond = self._mismatched = self._unequal = 0
        self._absolute = self._squares = 0.0
        self._dot = self._reference_squares = self._candidate_squares = 0.0
        self._worst, self._worst_at, self._relative, self._peak, self._sentinel = -1.0, 0, 0.0, 0.0, 0.0
        self._masked, self._unmasked_worst, self._unmasked_peak, self._lost = False, 0.0, 0.0, 0
        self._space = Workspace()

    def update(self, reference: NDArray[Any], candidate: NDArray[Any]) -> None:
        """Take in flat chunks of equal length and one float dtype, in the reference's element order.

        float32 chunks are subtracted as they are (close numbers subtract exactly) and summed by blocks in float64,
        unless their squares leave float32's range.
        """
        import numpy as np

        with np.errstate(all="ignore"):
            delta = np.subtract(candidate, reference, out=self._space.room("delta", reference.size, reference.dtype))
            sums = _Sums.of(reference, candidate, delta)
            lost = sums.squares < _TINY and bool(delta.any())
            if reference.dtype != np.float64 and (not sums.finite or lost):
                reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
                delta = candidate - reference
            if not sums.finite:
                reference, candidate, delta = self._finite_part(reference, candidate, delta)
            if not sums.finite or lost:
                sums = _Sums.of(reference, candidate, delta)
            self._finite += int(reference.size)
            self._squares += sums.squares
            self._reference_squares += sums.reference
            self._candidate_squares += sums.candidate
            self._dot += sums.product
            self._numbers(reference, candidate, delta)
        self._seen += int(reference.size)

    def _finite_part(
        self, reference: NDArray[Any], candidate: NDArray[Any], delta: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Count elements whose finiteness differs, and let no other non-finite element into the sums."""
        import numpy as np

        finite = np.isfinite(delta)
        same = (reference == candidate) | (np.isnan(reference) & np.isnan(candidate))
        apart = ~finite & ~same
        mismatched = int(apart.sum())
        masked = reference <= MASKED
        self._masked = self._masked or bool(masked.any())
        self._lost += int((apart & ~(masked & (candidate <= MASKED))).sum())
        self._mismatched += mismatched
        self._beyond += mismatched
        self._unequal += mismatched
        self._finite -= int((~finite).sum())
        zeroed = [np.where(finite, side, 0.0) for side in (reference, candidate, delta)]
        return zeroed[0], zeroed[1], zeroed[2]

    def _numbers(self, reference: NDArray[Any], candidate: NDArray[Any], delta: NDArray[Any]) -> None:
        import numpy as np

        size = np.abs(reference, out=self._space.room("size", reference.size, reference.dtype))
        peak = largest = float(size.max(initial=0.0))
        if peak >= _SENTINEL:
            self._sentinel = max(self._sentinel, peak)
            peak = float(size[size < _SENTINEL].max(initial=0.0))
        self._peak = max(self._peak, peak)
        unequal = int(np.count_nonzero(np.not_equal(delta, 0, out=self._space.room("flags", delta.size, bool))))
        self._unequal += unequal
        if not unequal:
            self._worst = max(self._worst, 0.0)
            self._beside_mask(reference, candidate, size, None, largest, 0.0)
            return
        magnitude = np.abs(delta, out=delta)
        self._absolute += total(magnitude)
        worst = int(magnitude.argmax())
        exact = abs(float(candidate[worst]) - float(reference[worst]))
        if exact > self._worst:
            self._worst, self._worst_at = exact, self._seen + worst
        self._beside_mask(reference, candidate, size, magnitude, largest, exact)
        if exact > self._atol:
            self._beyond += self._beyond_in(magnitude, size)
        self._raise_relative(magnitude, size, exact)

    def _beyond_in(self, magnitude: NDArray[Any], size: NDArray[Any]) -> int:
        import numpy as np

        allowed = np.multiply(size, self._rtol, out=self._space.room("allowed", size.size, size.dtype))
        allowed += self._atol
        return int(np.count_nonzero(np.greater(magnitude, allowed, out=self._space.room("flags", size.size, bool))))

    def _beside_mask(
        self,
        reference: NDArray[Any],
        candidate: NDArray[Any],
        size: NDArray[Any],
        magnitude: NDArray[Any] | None,
        peak: float,
        worst: float,
    ) -> None:
        """Error and magnitude of what no mask has pushed far down; looks closer only where something is that large."""
        if peak >= -MASKED:
            beside = reference > MASKED
            self._masked = self._masked or not beside.all()
            peak = float(size[beside].max(initial=0.0))
            apart = beside | (candidate > MASKED)
            worst = float(magnitude[apart].max(initial=0.0)) if magnitude is not None else 0.0
        self._unmasked_worst = max(self._unmasked_worst, worst)
        self._unmasked_peak = max(self._unmasked_peak, peak)

    def _raise_relative(self, magnitude: NDArray[Any], size: NDArray[Any], worst: float) -> None:
        """Only elements that are relatively worse than all before are divided; no magnitude is beyond ``worst``."""
        import numpy as np

        if float(size.min()) * self._relative > worst:
            return
        allowed = np.multiply(size, self._relative, out=self._space.room("allowed", size.size, size.dtype))
        worse = np.greater(magnitude, allowed, out=self._space.room("flags", size.size, bool))
        if worse.any():
            places = np.flatnonzero(worse)
            places = places[size[places] > 0]
            self._relative = max(self._relative, float((magnitude[places] / size[places]).max(initial=0.0)))

    def join(self, other: DifferenceAccumulator) -> None:
        """Take in what another saw of the elements that follow."""
        if other._worst > self._worst:
            self._worst, self._worst_at = other._worst, self._seen + other._worst_at
        self._relative = max(self._relative, other._relative)
        self._peak = max(self._peak, other._peak)
        self._sentinel = max(self._sentinel, other._sentinel)
        self._masked = self._masked or other._masked
        self._unmasked_worst = max(self._unmasked_worst, other._unmasked_worst)
        self._unmasked_peak = max(self._unmasked_peak, other._unmasked_peak)
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def result(self) -> Difference:
        """The difference so far."""
        import numpy as np

        count = max(self._finite, 1)
        norms = math.sqrt(self._reference_squares) * math.sqrt(self._candidate_squares)
        errors = Errors(
            max_abs=max(self._worst, 0.0) if self._finite or not self._seen else math.nan,
            mean_abs=self._absolute / count,
            sum_abs=self._absolute,
            rmse=math.sqrt(self._squares / count),
            max_rel=self._relative,
            cosine=min(1.0, max(-1.0, self._dot / norms)) if norms > 0 and math.isfinite(norms) else None,
            worst_index=tuple(int(i) for i in np.unravel_index(self._worst_at, self._shape)) if self._seen else (),
            beyond=self._beyond / max(self._seen, 1),
        )
        beside = self._masked and self._unmasked_peak <= MOST_UNMASKED
        return Difference(
            errors=errors,
            scale=math.sqrt(self._reference_squares / count),
            peak=self._peak or self._sentinel,
            size=self._seen,
            mismatched=self._mismatched,
            unequal=self._unequal,
            unmasked=Unmasked(self._unmasked_worst, self._unmasked_peak, self._lost) if beside else None,
        )


def difference(
    reference: NDArray[np.generic], candidate: NDArray[np.generic], *, atol: float = 1e-5, rtol: float = 1e-5
) -> Difference:
    """Errors of two arrays of one shape (views are read in place).

    Raises ValueError when the shapes differ: bring them into one axis order first.
    """
    import numpy as np

    if reference.shape != candidate.shape:
        raise ValueError(f"shapes {reference.shape} and {candidate.shape} differ")
    accumulator = DifferenceAccumulator(reference.shape, atol, rtol)
    if reference.dtype.kind in "OUS" or candidate.dtype.kind in "OUS":
        equal = (np.asarray(reference, dtype=object) == np.asarray(candidate, dtype=object)).reshape(-1)
        zeros = np.zeros(equal.size)
        accumulator.update(zeros, np.where(equal, 0.0, 1.0))
        return accumulator.result()
    if reference.dtype.kind == "c" or candidate.dtype.kind == "c":
        reference, candidate = (np.stack([np.real(side), np.imag(side)], axis=-1) for side in (reference, candidate))
        accumulator = DifferenceAccumulator(reference.shape, atol, rtol)
    if reference.size == 0:
        return accumulator.result()
    single = reference.dtype == candidate.dtype == np.float32
    if single and reference.flags.c_contiguous and candidate.flags.c_contiguous:
        left, right = reference.reshape(-1), candidate.reshape(-1)

        def part(begin: int, end: int) -> DifferenceAccumulator:
            own = DifferenceAccumulator(reference.shape, atol, rtol)
            for start in range(begin, end, BLOCK):
                stop = min(start + BLOCK, end)
                own.update(left[start:stop], right[start:stop])
            return own

        first, *rest = in_parts(left.size, part)
        for other in rest:
            first.join(other)
        return first.result()
    dtype = np.float32 if single else np.float64
    chunks = np.nditer(
        (reference, candidate),
        flags=("external_loop", "buffered", "zerosize_ok"),
        op_dtypes=(dtype, dtype),
        casting="unsafe",
        order="C",
        buffersize=BLOCK,
    )
    with chunks:
        for some, others in chunks:
            accumulator.update(some, others)
    return accumulator.result()
