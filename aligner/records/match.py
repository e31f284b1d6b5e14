"""A pairing alone: which tensor answers which, before anything is measured."""

from __future__ import annotations

from collections import Counter

from aligner.records.comparison import Coverage, FedInput, ModelSummary, Side, Unpaired
from aligner.records.dataclass import dataclass
from aligner.records.graph import Shape


@dataclass(frozen=True, slots=True)
class MatchedPair:
    """Two tensors that answer each other; the nodes are those of the region that computes each.

    A shape holds None for sizes that are not known before running.
    """

    reference: Side
    candidate: Side
    rule: str
    confidence: float
    axes: tuple[int, ...] | None = None
    note: str | None = None
    reference_nodes: tuple[str, ...] = ()
    candidate_nodes: tuple[str, ...] = ()
    reference_shape: Shape | None = None
    candidate_shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Pairs in the candidate's execution order; ``mapping`` spells them as a mapping file does.

    ``observed`` says that both models ran, so that shapes are those of a run and values have confirmed pairs.
    """

    reference: ModelSummary
    candidate: ModelSummary
    coverage: Coverage
    pairs: tuple[MatchedPair, ...]
    unpaired_reference: tuple[Unpaired, ...]
    unpaired_candidate: tuple[Unpaired, ...]
    observed: bool = False
    inputs: tuple[FedInput, ...] = ()
    notes: tuple[str, ...] = ()
    mapping: tuple[tuple[str, str], ...] = ()

    @property
    def lowest_confidence(self) -> float | None:
        """Of all pairs; None where there is none."""
        return min((pair.confidence for pair in self.pairs), default=None)

    def reasons(self) -> tuple[Counter[str], Counter[str]]:
        """How many tensors of the reference, and of the candidate, are unpaired for each reason."""
        return (
            Counter(item.reason for item in self.unpaired_reference),
            Counter(item.reason for item in self.unpaired_candidate),
        )
