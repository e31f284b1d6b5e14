"""Which tensor answers which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from math import prod

from aligner.records.dataclass import dataclass

METHODS = ("auto", "name", "order", "weights", "structure")
"""What tensors may be paired by."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What a cheap first look keeps of a tensor: numbers that no reordering of its elements changes, and one that does.

    ``rms`` and ``mean`` are float64 over finite elements; ``shape`` is the shape at run time.
    """

    shape: tuple[int, ...]
    dtype: str
    mean: float
    rms: float
    min: float
    max: float
    finite: bool = True
    order: float = 0.0
    """Mean of the elements weighted by a fixed pseudo-random sequence in [−1, 1]: the one number here that does
    depend on their order."""
    unmasked: Sketch | None = None
    """The same of the elements that no mask has pushed far below the others, zeros in the place of those; None where
    nothing is masked."""
    occurrences: int = 1
    """How often the value stood in one run; the rest is of the last time."""

    @property
    def core(self) -> Sketch:
        """What a comparison should look at: a mask's own number would hide everything else."""
        return self.unmasked or self

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    def repeats_as(self, other: Sketch) -> bool:
        """Whether both or neither are computed again and again: one that is not answers no step of a loop's value."""
        return (self.occurrences > 1) == (other.occurrences > 1)

    def same_elements(self, other: Sketch) -> bool:
        """Whether both hold the same elements in one order, whatever their shapes; constant ones cannot tell."""
        left = self.mean, self.rms, self.min, self.max, self.order
        return self.min < self.max and left == (other.mean, other.rms, other.min, other.max, other.order)


@dataclass(frozen=True, slots=True)
class Region:
    """What computes a paired tensor out of the paired tensors before it, on one side.

    ``nodes`` are indices in execution order, ``weights`` ids of stored weights, ``inputs`` the paired values (or graph
    inputs) it starts from.
    """

    nodes: tuple[int, ...] = ()
    weights: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PairedValues:
    """Two value ids that answer each other; ``axes`` carries the reference into the candidate's axis order."""

    reference: str
    candidate: str
    rule: str
    confidence: float
    axes: tuple[int, ...] | None = None
    note: str | None = None
    reference_aliases: tuple[str, ...] = ()
    candidate_aliases: tuple[str, ...] = ()
    reference_region: Region = Region()
    candidate_region: Region = Region()
    within: tuple[str, str, str | None] | None = None
    """(node of the candidate's region that errs, what it should have made, the reference's node that makes that)."""

    @property
    def values(self) -> tuple[str, str]:
        """The value ids, by side."""
        return self.reference, self.candidate

    @property
    def regions(self) -> tuple[Region, Region]:
        """The regions, by side."""
        return self.reference_region, self.candidate_region


@dataclass(frozen=True, slots=True)
class Answered:
    """Tensors of one side that nodes compute and do not only move, and how they are answered.

    ``paired`` have a partner. ``virtual`` have none and can have none: they lie inside a region that the other side
    computes in one node.
    """

    computing: int = 0
    paired: int = 0
    virtual: int = 0


@dataclass(frozen=True, slots=True)
class Alignment:
    """Pairs in the candidate's execution order, and why the rest has none (value id → reason)."""

    pairs: tuple[PairedValues, ...]
    unpaired_reference: Mapping[str, str] = field(default_factory=dict)
    unpaired_candidate: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    answered: tuple[Answered, Answered] = (Answered(), Answered())
    unmeant: tuple[str, ...] = ()
    """Moved forms of the candidate's that their readers do not take for what they would be if the move was meant."""
