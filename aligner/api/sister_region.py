"""Where a region errs whose formula the candidate has written rightly elsewhere: the one place where the two part.

A converter spells an operation that its runtime lacks the same way wherever it stands. If the reference has two nodes
of one kind and the same settings, and what answers one of them is right, then what answers the other is that formula
but for its fault, however opaque the reference's node is. This costs no run.

So are the steps of a recurrence that is unrolled: one step that is wrong is held against those that are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field

import numpy as np

from aligner.api.joined_parts import Judged
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.suspects import suspects
from aligner.operations.kinds import LAYOUT, VIEWS
from aligner.records.alignment import PairedValues
from aligner.records.dataclass import dataclass
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
    if wanted is None or len(nodes) < _LEAST or not of_numbers(graphs[1], nodes):
        return None
    wrong, places = suspects(graphs, passes.measured.values()), set[Found | None]()
    for other in passes.measured.values():
        if other.local is None or other.pair.candidate in wrong or _made_by(graphs[0], other.pair) != wanted:
            continue
        if len(_computing(graphs[1], other.pair)) >= _LEAST:
            formulas = [_Formula.of(one) for one in (pair, other.pair)]
            places.add(_Comparison(graphs[1], (formulas[0], formulas[1])).place())
    return places.pop() if len(places) == 1 else None


def parted_step(graph: Graph, parts: Sequence[Judged]) -> Found | None:
    """The same of the first wrong part that an end is joined of, held against right ones; nothing where they disagree.

    A step is what no part with fewer nodes is computed by.
    """
    first = min((part for part in parts if not part.right), key=lambda part: len(part.made_by), default=None)
    if first is None:
        return None
    own, places = _step(first, parts), set[Found]()
    for part in parts:
        step = _step(part, parts)
        if part.right and min(len(own.nodes), len(step.nodes)) >= _LEAST:
            place = _Comparison(graph, (own, step)).place()
            places |= {place} if place is not None else set()  # the first step starts from zeros
    return places.pop() if len(places) == 1 else None


def _step(part: Judged, parts: Sequence[Judged]) -> _Formula:
    earlier = (other.made_by for other in parts if len(other.made_by) < len(part.made_by))
    return _Formula(part.value, part.made_by.difference(*earlier), None)


def _made_by(graph: Graph, pair: PairedValues) -> tuple[str, dict[str, object]] | None:
    """Kind and settings of the reference's only node that computes, where it reads one tensor and nothing stored."""
    nodes = [node for index in pair.reference_region.nodes if (node := graph.nodes[index]).kind not in LAYOUT]
    alone = len(nodes) == 1 and len(nodes[0].inputs) == 1 and not nodes[0].weights
    return (nodes[0].kind, dict(nodes[0].attributes)) if alone else None


def _computing(graph: Graph, pair: PairedValues) -> list[Node]:
    return [node for index in pair.candidate_region.nodes if (node := graph.nodes[index]).kind not in LAYOUT]


def of_numbers(graph: Graph, nodes: list[Node]) -> bool:
    """Whether all that is stored are numbers of a formula."""
    return all(_number(graph, name) is not None for node in nodes for name in node.weights)


def _number(graph: Graph, name: str) -> float | None:
    weight = graph.weights.get(name)
    return float(weight.values().reshape(-1)[0]) if weight is not None and np.prod(weight.shape) == 1 else None


@dataclass(frozen=True, slots=True)
class _Formula:
    """Some nodes and the value that they end in; ``inputs``: what they read, None for what makes that to tell."""

    end: str
    nodes: frozenset[int]
    inputs: frozenset[str] | None

    @classmethod
    def of(cls, pair: PairedValues) -> _Formula:
        """The region of a pair on the candidate's side."""
        region = pair.candidate_region
        return cls(pair.candidate, frozenset(region.nodes), frozenset(region.inputs))


@dataclass
class _Comparison:
    """Two formulas of one graph, the one that errs first, walked together from their ends to what they read."""

    graph: Graph
    sides: tuple[_Formula, _Formula]
    _same: dict[tuple[str, str], bool] = field(default_factory=dict)

    def place(self) -> Found | None:
        found = set(self._differing(self.sides[0].end, self.sides[1].end, "", set()))
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
        nodes = [self.graph.nodes[index] for index in self.sides[1].nodes]
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
        if self.sides[0].inputs is None:
            return own == right or self._made_alike(own, right)
        inputs = self._inputs(0), self._inputs(1)
        return len(inputs[0]) == len(inputs[1]) == 1 and own in inputs[0] and right in inputs[1]

    def _made_alike(self, own: str, right: str) -> bool:
        """Whether two tensors from before are the same to their steps: a state, the next of several inputs."""
        nodes = self.graph.producer(own), self.graph.producer(right)
        if nodes[0] is None or nodes[1] is None or _form(nodes[0]) != _form(nodes[1]):
            return False
        return nodes[0] is nodes[1] or nodes[0].outputs.index(own) == nodes[1].outputs.index(right)

    def _inputs(self, side: int) -> set[str]:
        return {self._seen_through(name, side) for name in self.sides[side].inputs or ()}

    def _maker(self, value: str, side: int) -> Node | None:
        node, formula = self.graph.producer(value), self.sides[side]
        inside = node is not None and node.index in formula.nodes and value not in (formula.inputs or ())
        return node if inside else None

    def _seen_through(self, value: str, side: int) -> str:
        """The value that was renamed or moved to this one within the region."""
        while (node := self._maker(value, side)) is not None and node.kind in VIEWS and node.inputs:
            value = node.inputs[0]
        return value


def _form(node: Node) -> tuple[object, ...]:
    return node.kind, len(node.inputs), node.attributes.get("fused_activation"), node.attributes.get("axis")
