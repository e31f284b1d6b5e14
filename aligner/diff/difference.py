"""Two tensors against each other: attributes first, then positions of NaN and infinity, then numbers.

Everything is promoted to float64 chunk by chunk before subtracting; relative errors are always relative to the
reference.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aligner.records.comparison import Errors
from aligner.records.difference import Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 1 << 16


class DifferenceAccumulator:
    """Streaming errors of a pair: start → update(reference chunk, candidate chunk) → result."""

    def __init__(self, shape: tuple[int, ...], atol: float, rtol: float) -> None:
        self._shape, self._atol, self._rtol = shape, atol, rtol
        self._seen = self._finite = self._beyond = self._mismatched = self._unequal = 0
        self._total = self._absolute = self._squares = 0.0
        self._dot = self._reference_squares = self._candidate_squares = 0.0
        self._worst, self._worst_at, self._relative, self._peak = -1.0, 0, 0.0, 0.0

    def update(self, reference: NDArray[np.float64], candidate: NDArray[np.float64]) -> None:
        """Take in flat float64 chunks of equal length, in the reference's element order."""
        import numpy as np

        offset = self._seen
        self._seen += int(reference.size)
        with np.errstate(all="ignore"):
            delta = candidate - reference
            finite = np.isfinite(delta)
            if not finite.all():
                same = (reference == candidate) | (np.isnan(reference) & np.isnan(candidate))
                self._mismatched += int((~finite & ~same).sum())
                self._beyond += int((~finite & ~same).sum())
                self._unequal += int((~finite & ~same).sum())
                delta, reference, candidate = (np.where(finite, x, 0.0) for x in (delta, reference, candidate))
            magnitude = np.abs(delta)
            size = np.abs(reference)
            self._finite += int(finite.sum())
            self._total += float(delta.sum())
            self._absolute += float(magnitude.sum())
            self._squares += float(delta @ delta)
            self._dot += float(reference @ candidate)
            self._reference_squares += float(reference @ reference)
            self._candidate_squares += float(candidate @ candidate)
            self._peak = max(self._peak, float(size.max(initial=0.0)))
            self._beyond += int((magnitude > self._atol + self._rtol * size).sum())
            self._unequal += int(np.count_nonzero(delta))
            worst = int(magnitude.argmax())
            if magnitude[worst] > self._worst:
                self._worst, self._worst_at = float(magnitude[worst]), offset + worst
            nonzero = size > 0
            if nonzero.any():
                self._relative = max(self._relative, float((magnitude[nonzero] / size[nonzero]).max()))

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
        return Difference(
            errors=errors,
            scale=math.sqrt(self._reference_squares / count),
            peak=self._peak,
            size=self._seen,
            mismatched=self._mismatched,
            unequal=self._unequal,
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
    chunks = np.nditer(
        (reference, candidate),
        flags=("external_loop", "buffered", "zerosize_ok"),
        op_dtypes=(np.float64, np.float64),
        casting="unsafe",
        order="C",
        buffersize=_CHUNK,
    )
    with chunks:
        for left, right in chunks:
            accumulator.update(left, right)
    return accumulator.result()
