"""How far two tensors are apart, with what a verdict needs beside the reported errors."""

from __future__ import annotations

from aligner.records.comparison import Errors
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Unmasked:
    """Largest error, largest magnitude and count of mismatched elements beside a mask."""

    max_abs: float
    peak: float
    mismatched: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Errors of a pair over elements finite on both sides, and where finiteness itself differs.

    ``scale`` is the reference's root mean square, ``peak`` its largest magnitude, masked elements (beyond
    1e30) left out. ``mismatched`` counts elements that
    are NaN or infinite on one side only, or different infinities. ``unequal`` counts elements that differ at all.
    ``unmasked`` tells of the elements that are not masked on both sides, None where nothing is masked. ``gain``, of
    ⟨c − r, r⟩ / ⟨r, r⟩, is by what share the candidate is larger as a whole.
    """

    errors: Errors
    scale: float
    peak: float
    size: int
    mismatched: int = 0
    unequal: int = 0
    unmasked: Unmasked | None = None
    gain: float = 0.0

    @property
    def relative(self) -> float:
        """Root-mean-square error over the reference's root mean square; infinite where only the error is non-zero."""
        if self.errors.rmse == 0:
            return 0.0
        return self.errors.rmse / self.scale if self.scale > 0 else float("inf")
