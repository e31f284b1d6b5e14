"""Where a region errs whose formula the candidate has written rightly elsewhere: the one place where the two part.

A converter spells an operation that its runtime lacks the same way wherever it stands. If the reference has two nodes
of one kind and the same settings, and what answers one of them is right, then what answers the other is that formula
but for its fault, however opaque the reference's node is. This costs no run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.suspects import suspects
from aligner.operations.kinds import LAYOUT, VIEWS
from aligner.records.alignment import PairedValues
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

Found = tuple[str, str, str | None]
_LEAST = 3
"""Nodes of a formula: what a shorter one differs in from its sister is all of it."""


def parted(sides: Sides, passes: Passes, item: Measured) -> Found | None:
    """(The candidate's node that differs, and by what: the kind of node in its place, "extra", "constant", "operand",
    "missing").

    Nothing where two places differ, where a sister differs elsewhere, or where weights could be wrong as well.
    """
    graphs, pair = (sides[0].graph, sides[1].graph), item.pair
    wanted, nodes = _made_by(graphs[0], pair), _computing(graphs[1], pair)
    if wanted is None or len(nodes) < _LEAST or not _without_weights(graphs[1], nodes):
        return None
    wrong, places = suspects(graphs, passes.measured.values()), set[Found | None]()
    for other in passes.measured.values():
        if other.local is None or other.pair.candidate in wrong or _made_by(graphs[0], other.pair) != wanted:
            continue
        if len(_computing(graphs[1], other.pair)) >= _LEAST:
            places.add(_Comparison(graphs[1], (pair, other.pair)).place())
    return places.pop() if len(places) == 1 else None


def _made_by(graph: Graph, pair: PairedValues) -> tuple[str, dict[str, object]] | None:
    """Kind and settings of the reference's only node that computes, where it reads one tensor and nothing stored."""
    nodes = [node for index in pair.reference_region.nodes if (node := graph.nodes[index]).kind not in LAYOUT]
    alone = len(nodes) == 1 and len(nodes[0].inputs) == 1 and not nodes[0].weights
    return (nodes[0].kind, dict(nodes[0].attributes)) if alone else None


def _computing(graph: Graph, pair: PairedValues) -> list[Node]:
    return [node for index in pair.candidate_region.nodes if (node := graph.nodes[index]).kind not in LAYOUT]


def _without_weights(graph: Graph, nodes: list[Node]) -> bool:
    """Whether all that is stored are numbers of a formula."""
    return all(_number(graph, name) is not None for node in nodes for name in node.weights)


def _number(graph: Graph, name: str) -> float | None:
    weight = graph.weights.get(name)
    return float(weight.values().reshape(-1)[0]) if weight is not None and np.prod(weight.shape) == 1 else None


@dataclass
class _Comparison:
    """Two regions of one graph, the one that errs first, walked together from their ends to what they read."""

    graph: Graph
    pairs: tuple[PairedValues, PairedValues]
    _same: dict[tuple[str, str], bool] = field(default_factory=dict)

    def place(self) -> Found | None:
        found = set(self._differing(self.pairs[0].candidate, self.pairs[1].candidate, "", set()))
        return found.pop() if len(found) == 1 else None

    def _differing(self, own: str, right: str, reader: str, seen: set[tuple[str, str]]) -> Iterator[Found]:
        own, right = self._seen_through(own, 0), self._seen_through(right, 1)
        if (own, right) in seen or self._equal(own, right):
            return
        seen.add((own, right))
        nodes = self._maker(own, 0), self._maker(right, 1)
        inserted = nodes[0] is not None and any(self._equal(name, right) for name in nodes[0].inputs)
        if nodes[0] is not None and inserted:
            yield nodes[0].name, "extra", None
        elif nodes[1] is not None and any(self._equal(own, name) for name in nodes[1].inputs):
            yield reader, "missing", None
        elif self._is_made_for_others(own):
            yield reader, "operand", None
        elif nodes[0] is not None and nodes[1] is not None:
            if _form(nodes[0]) == _form(nodes[1]):
                for one, other in zip(nodes[0].inputs, nodes[1].inputs, strict=True):
                    yield from self._differing(one, other, nodes[0].name, seen)
            else:
                yield nodes[0].name, nodes[1].kind, None
        else:
            numbers = _number(self.graph, own), _number(self.graph, right)
            yield reader, "operand" if None in numbers else "constant", None

    def _is_made_for_others(self, own: str) -> bool:
        """Whether a value stands in the right formula as well, at another place than where it is read here."""
        nodes = [self.graph.nodes[index] for index in self.pairs[1].candidate_region.nodes]
        shared = len(self.graph.readers(own)) > 1
        return shared and any(self._equal(own, value) for node in nodes for value in (*node.inputs, *node.outputs))

    def _equal(self, own: str, right: str) -> bool:
        """Whether two values are the same formula of what the regions read."""
        own, right = self._seen_through(own, 0), self._seen_through(right, 1)
        if (own, right) not in self._same:
            nodes = self._maker(own, 0), self._maker(right, 1)
            if nodes[0] is None or nodes[1] is None:
                self._same[own, right] = nodes[0] is nodes[1] and self._same_leaf(own, right)
            else:
                inputs = zip(nodes[0].inputs, nodes[1].inputs, strict=False)
                alike = _form(nodes[0]) == _form(nodes[1])
                self._same[own, right] = alike and all(self._equal(one, other) for one, other in inputs)
        return self._same[own, right]

    def _same_leaf(self, own: str, right: str) -> bool:
        numbers = _number(self.graph, own), _number(self.graph, right)
        if numbers[0] is not None or numbers[1] is not None:
            return numbers[0] == numbers[1]
        inputs = self._inputs(0), self._inputs(1)
        return len(inputs[0]) == len(inputs[1]) == 1 and own in inputs[0] and right in inputs[1]

    def _inputs(self, side: int) -> set[str]:
        return {self._seen_through(name, side) for name in self.pairs[side].candidate_region.inputs}

    def _maker(self, value: str, side: int) -> Node | None:
        node, region = self.graph.producer(value), self.pairs[side].candidate_region
        return node if node is not None and node.index in region.nodes and value not in region.inputs else None

    def _seen_through(self, value: str, side: int) -> str:
        """The value that was renamed or moved to this one within the region."""
        while (node := self._maker(value, side)) is not None and node.kind in VIEWS and node.inputs:
            value = node.inputs[0]
        return value


def _form(node: Node) -> tuple[object, ...]:
    return node.kind, len(node.inputs), node.attributes.get("fused_activation"), node.attributes.get("axis")
