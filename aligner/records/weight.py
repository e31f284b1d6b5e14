"""What became of each stored weight on the way from the reference to the candidate."""

from __future__ import annotations

from typing import Literal

from aligner.records.comparison import ModelSummary
from aligner.records.dataclass import dataclass

WeightStatus = Literal["matched", "changed", "missing", "extra"]

WEIGHTS_ALONE = "weights alone"
"""The runtime of a side whose tensors were read and whose graph, if it has one, was not: its nodes are tensors."""


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
