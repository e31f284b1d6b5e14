"""A culprit's region in one of the two graphs: its nodes, what they read, and the means to compute them again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from functools import cached_property, partial

import numpy as np

from aligner.adapters.base import ChosenPrecision
from aligner.operations.kinds import PRINCIPAL
from aligner.operations.lowering import lower, lowers
from aligner.operations.operation import Operation, Unsupported, results
from aligner.operations.settings import Quantize
from aligner.parameters.known import Known, stored_weight
from aligner.parameters.remembered import Remembered
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node, Value, Weight
from aligner.records.measurement import Measured


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Arrays of one culprit: its output on both sides, and what both regions read and computed.

    ``expected`` is the reference's output; ``found`` the candidate's local output in the reference's axis order, None
    where the shapes do not fit. ``values`` holds, for each side, arrays by value id in that side's own layout; the
    candidate's are those of the local run, so its region's inputs are the reference's tensors. ``kept`` is, for a side
    whose runtime chose fewer bits than the model declares, what the same region gives where it is kept from that.
    """

    expected: Array
    found: Array | None
    values: tuple[Mapping[str, Array], Mapping[str, Array]]
    dtype: str = "float32"
    found_dtype: str = "float32"
    kept: tuple[KeptPrecision | None, KeptPrecision | None] = (None, None)


@dataclass(frozen=True, slots=True, eq=False)
class KeptPrecision:
    """A region's output in the precision that the model declares, in the reference's axis order."""

    chosen: ChosenPrecision
    output: Array


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a hypothesis alters in a region: operations of some nodes, or arrays of some values and weights."""

    operations: Mapping[int, Callable[[Operation], Operation]] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)
    endless: bool = False
    """What is computed again may be of any size, whatever the ends of its range."""


def steps(values: Iterable[Value]) -> list[float]:
    """The quantisation steps of what is stored in few bits; 32-bit sums are as good as exact."""
    return [
        value.quantization.step
        for value in values
        if value.quantization is not None and value.quantization.step and "32" not in (value.dtype or "")
    ]


def _endless(operation: Operation) -> Operation:
    """The operation with no end to what its result may be."""
    free = operation.with_settings(range=None)
    coded = isinstance(free.settings, Quantize) and not free.settings.stored
    return free.with_settings(limits=(-math.inf, math.inf)) if coded else free


def change_node(node: Node, edit: Callable[[Operation], Operation]) -> Change:
    """Alter what one node computes."""
    return Change(operations={node.index: edit})


_MOST_CONSTANT = 64
"""Nodes before a region's constant operands that are looked at."""
_BEYOND = Remembered[dict[str, int]]()
"""What of a graph can be known neither from what is stored nor from declared shapes."""


class Subgraph:
    """A region of one graph, with what its nodes read and computed; ``side``: 0 the reference, 1 the candidate."""

    def __init__(self, graph: Graph, measured: Measured, side: int, evidence: Evidence | None) -> None:
        pair = measured.pair
        region = pair.regions[side]
        self.graph, self.side, self.region = graph, side, region
        self.output = pair.values[side]
        self.nodes: tuple[Node, ...] = tuple(graph.nodes[i] for i in region.nodes)
        self.weights: tuple[Weight, ...] = tuple(
            graph.weights[name] for name in region.weights if name in graph.weights
        )
        self.values: Mapping[str, Array] = evidence.values[side] if evidence else {}
        shape = partial(_shape, graph, self.values)  # no method of this object: arrays would wait for the collector
        beyond = None if self.values else _BEYOND.of(graph, dict)
        self._known, self._settled = (Known(graph, shape, seen, beyond=beyond) for seen in (self.values, None))
        self._operations: dict[int, Operation | None] = {}
        self.stand_ins: dict[int, Mapping[str, Array]] = {}
        """By node, the arrays that stood for tensors which were not seen when it was read."""

    @property
    def node(self) -> Node | None:
        """The node a user should open: the weightiest of the region, else the last."""
        for kind in PRINCIPAL:
            for node in self.nodes:
                if node.kind == kind:
                    return node
        return self.nodes[-1] if self.nodes else None

    @cached_property
    def constant_nodes(self) -> tuple[Node, ...]:
        """What computes the region's constant operands (position embeddings, biases by distance), in order."""
        found: dict[int, Node] = {}
        inside = set(self.region.nodes)
        names = [name for node in self.nodes for name in node.inputs]
        while names and len(found) < _MOST_CONSTANT:
            name = names.pop()
            node = self.graph.producer(name)
            if node is None or name in self.region.inputs or node.index in inside or node.index in found:
                continue
            found[node.index] = node
            names += node.inputs
        return tuple(found[index] for index in sorted(found))

    def stored(self, name: str) -> Weight | None:
        """The weight that a value is, or is moved or recoded from."""
        return stored_weight(self.graph, name)

    def quantized(self, node: Node) -> Weight | None:
        """The matrix stored in few bits that a node reads."""
        stored = [weight for name in node.inputs if name and (weight := self.stored(name)) is not None]
        found = [w for w in stored if w.coded and len(w.shape) > 1]
        return found[0] if found else None

    def of_kind(self, *kinds: str) -> tuple[Node, ...]:
        """The region's nodes of these kinds, in order."""
        return tuple(node for node in self.nodes if node.kind in kinds)

    def weight(self, name: str) -> Array | None:
        """A stored weight's real numbers, read once."""
        return self._known.array(name) if name in self.graph.weights else None

    def settled(self, name: str) -> Array | None:
        """The numbers of a weight, or of what nodes make of weights alone; None for what an input may change."""
        return self._settled.array(name)

    def array(self, name: str) -> Array | None:
        """What a value held, or a weight holds; constants computed from weights are computed."""
        return self._known.array(name)

    def operation(self, node: Node) -> Operation | None:
        """The node in neutral words, None where it is not understood."""
        if node.index not in self._operations:
            try:
                self.stand_ins[node.index] = self._stand_ins(node)
                self._operations[node.index] = self._read(node, self.stand_ins[node.index])
            except Unsupported:
                self._operations[node.index] = None
        return self._operations[node.index]

    def kinds(self, node: Node) -> tuple[str, ...]:
        """A node's kind, and those of the operations that it is made of."""
        operation = self.operation(node)
        try:
            made = lower(operation) if operation is not None and lowers(operation) else ()
        except Unsupported:
            made = ()
        return (node.kind, *(step.operation.kind for step in made if step.operation.kind != node.kind))

    def _stand_ins(self, node: Node) -> dict[str, Array]:
        """Zeros of the declared shapes for what was not seen: enough to read settings and weights, not to compute."""
        if self.values:
            return {}
        found: dict[str, Array] = {}
        made = self.graph.values.get(node.outputs[0]) if node.outputs else None
        result = made.shape or () if made is not None else ()
        for name in node.inputs:
            value = self.graph.values.get(name) if name else None
            if value is None or value.shape is None or self.constant(name):
                continue
            if node.kind in PRINCIPAL and not self.varies(name):
                continue  # parameters that are computed: zeros would be taken for them
            dtype = np.int64 if "int" in (value.dtype or "") else np.float32
            found[name] = np.broadcast_to(dtype(0), [dim or 1 for dim in value.shape])
            if node.kind == "conv_transpose" and dtype is np.int64 and value.shape == (len(result),):
                found[name] = np.array([dim or 1 for dim in result])  # which size it is told to make
        return found

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """A value's shape as it was seen, else as it is declared."""
        return _shape(self.graph, self.values, name)

    def varies(self, name: str) -> bool:
        """Whether a value depends on the model's inputs."""
        return self.graph.varies(name)

    def _read(self, node: Node, fresh: Mapping[str, Array]) -> Operation:
        return self._known.operation(node, lambda n: fresh[n] if n in fresh else self.array(n), self.constant)

    def constant(self, name: str) -> bool:
        """Whether a value is a stored weight, or one that was only moved or recoded."""
        return self.stored(name) is not None

    @cached_property
    def step(self) -> float:
        """The coarsest step of what the nodes compute in few bits; 0 where they do in none."""
        made = (self.graph.values.get(name) for node in self.nodes for name in node.outputs)
        return max(steps(value for value in made if value is not None), default=0.0)

    def replay(self, change: Change | None = None) -> Array:
        """The region's output with something changed: what the change reaches is computed, the rest was seen.

        Without a change every node is computed that can be. Raises Unsupported.
        """
        fresh: dict[str, Array] = dict(change.arrays) if change else {}
        edits = change.operations if change else {}
        inside = edits.keys() <= set(self.region.nodes)
        for node in self.nodes if inside else (*self.constant_nodes, *self.nodes):
            touched = node.index in edits or any(name in fresh for name in node.inputs)
            if change is not None and not touched:
                continue
            if not node.outputs or (change is not None and node.outputs[0] in change.arrays):
                continue
            try:
                operation = self._read(node, fresh)
                if node.index in edits:
                    operation = edits[node.index](operation)
                if change is not None and change.endless:
                    operation = _endless(operation)
                fresh.update(zip(node.outputs, results(operation), strict=False))
            except Unsupported:
                if change is not None or node.outputs[0] not in self.values or node.outputs[0] == self.output:
                    raise
        if self.output not in fresh:
            raise Unsupported("the change does not reach the output")
        return fresh[self.output]


def _shape(graph: Graph, seen: Mapping[str, Array], name: str) -> tuple[int | None, ...] | None:
    if name in seen:
        return tuple(seen[name].shape)
    known = graph.values.get(name)
    return known.shape if known is not None else None
