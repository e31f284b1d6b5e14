"""What became of each stored weight on the way from the reference to the candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from aligner.records.comparison import ModelSummary

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WeightStatus = Literal["matched", "changed", "missing", "extra"]

_FEW = 64
_SAMPLE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A weight as its file stores it, and the nodes that use it."""

    id: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    nodes: tuple[str, ...] = ()
    index: int | None = None


@dataclass(frozen=True, slots=True)
class WeightMatch:
    """A weight of the reference, and what the candidate holds in its place.

    ``transforms`` say what a converter did to it: "same", "transposed", "reshaped", "flipped", "permuted" (the same
    numbers in another order), "concatenated", "split", "shared", "BN-folded", "scale-folded", "constant-folded",
    "cast", "dequantised"; of a changed one "scaled ×1.5" says that it is a multiple, and "transposed", "flipped" or
    "permuted" in what order its node reads the reference's own numbers. ``axes`` carries the
    reference into the candidate's axis order. ``relative`` is ‖candidate − reference‖ / ‖reference‖ after all that;
    ``rule`` says what paired the two: "name", "structure", "values" or "order". ``fresh``: the candidate's numbers
    look as if an initialiser had just drawn them and have nothing to do with the reference's.
    """

    status: WeightStatus
    reference: StoredWeight | None
    candidate: StoredWeight | None
    transforms: tuple[str, ...] = ()
    axes: tuple[int, ...] | None = None
    relative: float | None = None
    correlation: float | None = None
    fresh: bool = False
    rule: str = ""


@dataclass(frozen=True, slots=True)
class WeightAudit:
    """All weights of two models."""

    reference: ModelSummary
    candidate: ModelSummary
    matches: tuple[WeightMatch, ...]
    notes: tuple[str, ...] = ()

    def count(self, status: WeightStatus) -> int:
        """How many weights have this status."""
        return sum(match.status == status for match in self.matches)

    @property
    def fresh(self) -> int:
        """How many of the changed ones look freshly initialised."""
        return sum(match.fresh for match in self.matches)

    @property
    def exit_code(self) -> int:
        """0 where every weight of the reference is in the candidate, 1 otherwise."""
        return 1 if self.count("changed") or self.count("missing") else 0


def looks_initialised(array: NDArray[np.generic], rank: int | None = None) -> bool:
    """Whether numbers look drawn by a framework's initialiser: all 0 or 1, or uniform or normal about zero.

    A uniform draw on ±a has kurtosis 1.8 and a largest magnitude close to a; a normal one has kurtosis 3; trained
    kernels have heavier tails. Small tensors and vectors cannot tell and count as not initialised unless constant.
    Of a large array every n-th element is looked at; ``rank`` is the weight's own where the array has been flattened.
    """
    import numpy as np

    flat = array.reshape(-1)
    flat = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
    if np.all(flat == 0) or np.all(flat == 1):
        return True
    if flat.size < _FEW or (array.ndim if rank is None else rank) < 2 or not np.isfinite(flat).all():
        return False
    spread = float(flat.std())
    if spread == 0 or abs(float(flat.mean())) > 4 * spread / math.sqrt(flat.size):
        return False
    kurtosis = float(np.mean(((flat - flat.mean()) / spread) ** 4))
    sampling = 4 * math.sqrt(24 / flat.size)
    uniform = abs(kurtosis - 1.8) < max(0.1, sampling / 2) and float(np.abs(flat).max()) <= 1.1 * spread * math.sqrt(3)
    return uniform or abs(kurtosis - 3.0) < max(0.2, sampling)
