"""What all culprits have in common to look at: the graphs, every measured pair, what adapters said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property

from aligner.parameters.initialised import looks_initialised
from aligner.records.alignment import PairedValues
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.records.observation import Observations

_LOOKED_AT = 16
"""Culprits whose weights say whether the model was trained."""
_TELLING = 64
"""Numbers from which a draw can be told from what training leaves."""


@dataclass(frozen=True, eq=False)
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

    @cached_property
    def fresh_share(self) -> float:
        """Which share of the numbers in the guilty layers' matrices looks drawn by an initialiser."""
        graph, names = self.graphs[1], dict[str, None]()
        for item in self.guilty[:_LOOKED_AT]:
            names.update(dict.fromkeys(item.pair.candidate_region.weights))
        sizes = {True: 0, False: 0}
        for weight in (graph.weights[name] for name in names if name in graph.weights):
            if len(weight.shape) > 1 and math.prod(weight.shape) >= _TELLING:
                sizes[looks_initialised(weight.values())] += math.prod(weight.shape)
        total = sum(sizes.values())
        return sizes[True] / total if total else 1.0

    def pair_of(self, candidate: str) -> PairedValues | None:
        """The pair of a candidate value."""
        return next((m.pair for m in self.measured if m.pair.candidate == candidate), None)
