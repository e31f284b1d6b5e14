"""Back along one chain of nodes on both sides, to where they differ.

A converter or a fault that takes a block out leaves what stood behind it on what stood before: a norm that both sides
have twice, with the same operations in it, is then one that the candidate has once, and its numbers are those of the
first. What is known to answer the end of the second leads back through the whole of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aligner.operations.kinds import COMMUTATIVE, PARAMETRIC
from aligner.records.graph import Graph

Pair = tuple[str, str]
_DEEPEST = 16
"""Nodes in a row: a norm or an activation written out has eight at most."""


@dataclass(slots=True)
class WalkedBack:
    """``partner``: the reference's tensor by the candidate's, as they are paired so far."""

    graphs: tuple[Graph, Graph]
    partner: Mapping[str, str]
    chain: set[str] = field(default_factory=set)
    """The candidate's tensors between a pair and those that it leads back to."""
    _known: dict[tuple[Pair, int], set[Pair] | None] = field(default_factory=dict)
    """What was found of a pair: ways meet again, and would double at every sum of a tensor with itself."""

    def before(self, pair: Pair) -> set[Pair]:
        """Where the two sides differ first on the way to a pair: itself, where its operands already do."""
        return self._differing(pair, _DEEPEST) or {pair}

    def _differing(self, pair: Pair, left: int) -> set[Pair] | None:
        """Empty where the two are paired; None where they are made otherwise."""
        if (pair, left) not in self._known:
            self._known[pair, left] = self._compared(pair, left)
        return self._known[pair, left]

    def _compared(self, pair: Pair, left: int) -> set[Pair] | None:
        reference, candidate = pair
        if self.partner.get(candidate) == reference:
            return set()
        nodes = [graph.producer(value) for graph, value in zip(self.graphs, pair, strict=True)]
        if nodes[0] is None or nodes[1] is None or nodes[0].kind != nodes[1].kind or nodes[0].kind in PARAMETRIC:
            return None
        read = [
            [name for name in node.inputs if graph.varies(name)]
            for graph, node in zip(self.graphs, nodes, strict=True)
            if node is not None
        ]
        if len(read[0]) != len(read[1]) or not left:
            return {pair}
        orders = [read[1], read[1][::-1]] if nodes[0].kind in COMMUTATIVE and len(read[1]) > 1 else [read[1]]
        for order in orders:
            found = [self._differing(one, left - 1) for one in zip(read[0], order, strict=True)]
            if None not in found:
                self.chain.add(candidate)
                return {one for some in found if some is not None for one in some}
        return {pair}
