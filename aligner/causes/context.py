"""What all culprits have in common to look at: the graphs, every measured pair, what adapters said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.records.observation import Observations

if TYPE_CHECKING:
    from aligner.records.alignment import PairedValues


@dataclass(slots=True, eq=False)
class Context:
    """The whole comparison as a cause may need it beside its culprit.

    ``guilty`` are the culprits, upstream first; ``verdicts`` maps every paired candidate value to its verdict;
    ``observations`` are what running a side more than once has shown; ``exchanged`` are outputs that go by the name of
    another in the candidate, each with that name.
    """

    graphs: tuple[Graph, Graph]
    measured: Sequence[Measured]
    guilty: Sequence[Measured]
    verdicts: Mapping[str, str] = field(default_factory=dict)
    observations: Observations = field(default_factory=Observations)
    exchanged: Sequence[tuple[str, str]] = ()
    recorded: bool = False
    """Whether the candidate was recorded and did not run here: with which weights it ran is not known."""
    partial: frozenset[int] = frozenset()
    """Sides that are recordings: what such a side lacks may only not have been recorded."""
    sliding: frozenset[str] = frozenset()
    """Outputs, of either side, that are a decoder's caches and were compared on the positions that both hold."""
    fresh_share: float | None = None
    """Which share of the guilty layers' numbers looks drawn by an initialiser, once somebody has looked."""

    def pair_of(self, candidate: str) -> PairedValues | None:
        """The pair of a candidate value."""
        return next((m.pair for m in self.measured if m.pair.candidate == candidate), None)
