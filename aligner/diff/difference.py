"""Two tensors against each other: attributes first, then positions of NaN and infinity, then numbers.

Sums are float64; relative errors are always relative to the reference. Chunks fit a core's cache, so that a tensor is
read from memory once.
"""

from __future__ import annotations

import math

import numpy as np

from aligner.diff.close import closely
from aligner.diff.errors import CANCELLED, SPACE, TINY, ErrorAccumulator, cosine
from aligner.numerics.blocks import BLOCK, dot
from aligner.numerics.masking import MASKED, MOST_UNMASKED
from aligner.records.alignment import Sketch
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference, Unmasked

_SENTINEL = 1e30
"""Magnitudes that stand for "masked" (the least number of float32): not what the rest of a tensor is measured by."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over a chunk: δ², r², c² and r·c."""

    squares: float
    reference: float
    candidate: float
    product: float

    @staticmethod
    def of(reference: Array, candidate: Array, delta: Array) -> _Sums:
        """c² and r·c follow from r² and r·δ, unless they nearly cancel."""
        squares, own = dot(delta, delta), dot(reference, reference)
        cross = dot(reference, delta) if squares else 0.0
        theirs, product = own + 2 * cross + squares, own + cross
        if not theirs > CANCELLED * (own + squares):
            theirs, product = dot(candidate, candidate), dot(reference, candidate)
        return _Sums(squares, own, theirs, product)

    @property
    def finite(self) -> bool:
        """Whether no element was NaN or infinite, nor too large to be squared."""
        return math.isfinite(self.squares) and math.isfinite(self.reference) and math.isfinite(self.candidate)


class DifferenceAccumulator:
    """Streaming errors of a pair: start → update(reference chunk, candidate chunk) → result."""

    def __init__(self, shape: tuple[int, ...], atol: float, rtol: float) -> None:
        self._shape = shape
        self._errors = ErrorAccumulator(atol, rtol)
        self._finite = self._mismatched = 0
        self._squares = self._dot = self._reference_squares = self._candidate_squares = 0.0
        self._peak, self._sentinel = 0.0, 0.0
        self._masked, self._unmasked_worst, self._unmasked_peak, self._lost = False, 0.0, 0.0, 0

    def update(self, reference: Array, candidate: Array) -> None:
        """Take in flat chunks of equal length and one float dtype, in the reference's element order.

        float32 chunks are subtracted as they are (close numbers subtract exactly) and summed by blocks in float64,
        unless their squares leave float32's range.
        """
        with np.errstate(all="ignore"):
            delta = np.subtract(candidate, reference, out=SPACE.buffer("delta", reference.size, reference.dtype))
            sums = _Sums.of(reference, candidate, delta)
            lost = sums.squares < TINY and bool(delta.any())
            if reference.dtype != np.float64 and (not sums.finite or lost):
                reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
                delta = candidate - reference
            if not sums.finite:
                reference, candidate, delta = self._finite_part(reference, candidate, delta)
            if not sums.finite or lost:
                sums = _Sums.of(reference, candidate, delta)
                lost = sums.squares < TINY and bool(delta.any())
            self._finite += int(reference.size)
            self._squares += sums.squares
            self._reference_squares += sums.reference
            self._candidate_squares += sums.candidate
            self._dot += sums.product
            self._numbers(reference, candidate, delta, differ=lost or sums.squares >= TINY)

    def _finite_part(self, reference: Array, candidate: Array, delta: Array) -> tuple[Array, Array, Array]:
        """Count elements whose finiteness differs, and let no other non-finite element into the sums."""
        finite = np.isfinite(delta)
        same = (reference == candidate) | (np.isnan(reference) & np.isnan(candidate))
        apart = ~finite & ~same
        mismatched = int(apart.sum())
        masked = reference <= MASKED
        self._masked = self._masked or bool(masked.any())
        self._lost += int((apart & ~(masked & (candidate <= MASKED))).sum())
        self._mismatched += mismatched
        self._finite -= int((~finite).sum())
        zeroed = [np.where(finite, side, 0.0) for side in (reference, candidate, delta)]
        return zeroed[0], zeroed[1], zeroed[2]

    def _numbers(self, reference: Array, candidate: Array, delta: Array, *, differ: bool) -> None:
        size = np.abs(reference, out=SPACE.buffer("size", reference.size, reference.dtype))
        peak = largest = float(size.max(initial=0.0))
        if peak >= _SENTINEL:
            self._sentinel = max(self._sentinel, peak)
            peak = float(size[size < _SENTINEL].max(initial=0.0))
        self._peak = max(self._peak, peak)
        worst, magnitude = 0.0, None
        if differ:
            worst, magnitude = self._errors.update(reference, candidate, delta, size), delta
        else:
            self._errors.skip(delta.size)
        self._beside_mask(reference, candidate, size, magnitude, largest, worst)

    def _beside_mask(
        self,
        reference: Array,
        candidate: Array,
        size: Array,
        magnitude: Array | None,
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

    def result(self) -> Difference:
        """The difference so far."""
        errors, count = self._errors, max(self._finite, 1)
        beside = self._masked and self._unmasked_peak <= MOST_UNMASKED
        return Difference(
            errors=errors.result(
                self._shape,
                self._finite,
                math.sqrt(self._squares / count),
                cosine(self._dot, self._reference_squares, self._candidate_squares),
                mismatched=self._mismatched,
            ),
            scale=math.sqrt(self._reference_squares / count),
            peak=self._peak or self._sentinel,
            size=errors.seen,
            mismatched=self._mismatched,
            unequal=errors.unequal + self._mismatched,
            unmasked=Unmasked(self._unmasked_worst, self._unmasked_peak, self._lost) if beside else None,
            gain=self._dot / self._reference_squares - 1 if 0 < self._reference_squares < math.inf else 0.0,
        )


def difference(
    reference: Array,
    candidate: Array,
    *,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    known: Sketch | None = None,
) -> Difference:
    """Errors of two arrays of one shape (views are read in place).

    ``known``: numbers of the very array ``reference``, which then are not worked out again.
    Raises ValueError when the shapes differ: bring them into one axis order first.
    """
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
        found = closely(left, right, known, (reference.shape, atol, rtol)) if known is not None else None
        if found is not None:
            return found
        for start in range(0, left.size, BLOCK):
            accumulator.update(left[start : start + BLOCK], right[start : start + BLOCK])
        return accumulator.result()
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
