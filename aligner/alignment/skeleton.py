"""A graph read for alignment: constants folded away, layout-only nodes seen through, an order of its own.

The order comes from the dataflow alone (depth first from the outputs, operands in operand order), so neither the
order of nodes in a file nor the names of values can change a pairing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from math import prod

from aligner.operations.kinds import (
    AFFINE,
    IMPURE,
    LAYOUT,
    LOOKED_UP,
    PICKED,
    REARRANGED,
    RESIZES,
    SOURCES,
    neutral_element,
)
from aligner.operations.operation import Operation
from aligner.records.alignment import Sketch
from aligner.records.graph import Graph, Node

_MAY_MOVE = LAYOUT | RESIZES | AFFINE | LOOKED_UP | {"where"}
"""Kinds that move or recode, or change nothing where they find nothing to do, as the run shows: a padding by zero, a
slice or a gather of everything, a mask of zeros, a scale of one, a choice that takes one branch everywhere."""

_LEVELS = 100
"""Of the range: what reaches past it by less than two and a half codes of eight bits was rounded, not clipped."""


@dataclass(slots=True)
class Skeleton:
    """What alignment needs to know of one side."""

    graph: Graph
    sketches: Mapping[str, Sketch]
    producer: Mapping[str, Node]
    constants: dict[str, frozenset[str]]
    """Value id → the weights it is computed from, for values that no data reaches; weights map to themselves.

    What is computed from shapes alone is constant too: it says how a tensor is laid out, not what it holds.
    """
    order: dict[int, int]
    """Node index → its place in the dataflow's own order."""
    compute: list[Node] = field(default_factory=list)
    """The nodes that do something to data, in that order."""
    by_index: dict[int, Node] = field(default_factory=dict)
    computing: frozenset[int] = frozenset()
    """Nodes that count as computing although nothing changes in this run."""
    rearranged: frozenset[str] = frozenset()
    """Kinds that put elements elsewhere and are seen through: the other side writes them as reshapes and turns."""
    norms: dict[int, Operation | None] = field(default_factory=dict)
    """Node index → what a normalisation computes, of those that were asked for."""
    _data: dict[int, list[str]] = field(default_factory=dict)
    _moved: dict[int, str | None] = field(default_factory=dict)
    _roots: dict[str, str] = field(default_factory=dict)
    _members: dict[str, list[str]] = field(default_factory=dict)
    _readers: dict[str, list[tuple[Node, str]]] = field(default_factory=dict)
    _scopes: set[str] = field(default_factory=set)
    _shapes: dict[str, tuple[int, ...] | None] = field(default_factory=dict)

    @property
    def flows(self) -> bool:
        """Whether the graph says which tensor is computed from which; a list of recorded tensors does not."""
        return any(node.inputs for node in self.graph.nodes)

    @property
    def in_few_bits(self) -> bool:
        """Whether any tensor is coded."""
        return any(value.quantization is not None for value in self.graph.values.values())

    def scopes(self) -> Collection[str]:
        """The modules that computing nodes are in."""
        self._scopes = self._scopes or {node.scope or "" for node in self.compute}
        return self._scopes

    def data_inputs(self, node: Node) -> list[str]:
        """The operands that data flows through, in operand order."""
        found = self._data.get(node.index)
        if found is None:
            found = self._data[node.index] = [name for name in node.inputs if name and name not in self.constants]
        return found

    def weight_roots(self, node: Node) -> list[str]:
        """The stored weights a node uses, in operand order, seen through dequantize, cast and transpose."""
        roots: list[str] = []
        for name in node.inputs:
            if name in self.constants:
                roots.extend(sorted(self.constants[name]))
        return roots

    def moves(self, node: Node) -> bool:
        """Whether the node only moves, renames or recodes one tensor."""
        return self.moved(node) is not None

    def moved(self, node: Node) -> str | None:
        """The tensor that the node only moves, renames or recodes; None where it computes something."""
        if node.index not in self._moved:
            self._moved[node.index] = self._find_moved(node)
        return self._moved[node.index]

    def _find_moved(self, node: Node) -> str | None:
        may_move = node.kind in _MAY_MOVE or node.kind in self.rearranged
        if not (may_move and node.outputs) or node.index in self.computing:
            return None
        data = self.data_inputs(node)
        if node.kind == "where":
            return self._chosen(node)
        return data[0] if len(data) == 1 and self._keeps(node, data[0]) else None

    def _chosen(self, node: Node) -> str | None:
        """The branch that a choice takes everywhere in this run, as guards against overflow and NaN do."""
        after = self.sketches.get(node.outputs[0])
        if after is None or not after.finite or after.min == after.max:
            return None
        branches = [name for name in self.data_inputs(node) if self.sketches.get(name) == after]
        return branches[0] if len(branches) == 1 else None

    def _keeps(self, node: Node, data: str) -> bool:
        """Whether the one tensor a node reads leaves it with the same elements."""
        before, after = self.sketches.get(data), self.sketches.get(node.outputs[0])
        if node.kind in AFFINE:
            return before is not None and before.finite and before == after and self._neutral(node)
        if node.kind in PICKED | LOOKED_UP and _same_elements(before, after):
            return True
        if node.kind in LOOKED_UP:
            return False
        if node.kind in RESIZES and _moved_within(before, after):
            return False
        if node.kind in RESIZES:
            shape = self.shape(data)
            return shape is not None and shape == self.shape(node.outputs[0])
        if node.kind == "cast" and self._rounds(data, node.outputs[0]):
            return False
        if before is None or after is None:
            return node.kind not in REARRANGED or self.size(data) == self.size(node.outputs[0])
        return before.size == after.size and not (node.kind == "quantize" and _clips(before, after))

    def _neutral(self, node: Node) -> bool:
        """Whether a constant, where there is one number to ask, is neutral by itself: an epsilon is only too small."""
        neutral = neutral_element(node.kind)
        given = node.attributes.get("other")
        if isinstance(given, (int, float)):
            return float(given) == neutral
        stored = [self.graph.weights[name] for name in node.inputs if name in self.graph.weights]
        if len(stored) != 1 or any(dim != 1 for dim in stored[0].shape):
            return True
        return float(stored[0].values().reshape(-1)[0]) == neutral

    def _rounds(self, before: str, after: str) -> bool:
        """Whether a cast goes from floats to integers: that computes something."""
        kinds = ["float" in (self._dtype(value) or "float") for value in (before, after)]
        return kinds[0] and not kinds[1]

    def _dtype(self, value: str) -> str | None:
        sketch = self.sketches.get(value)
        if sketch is not None:
            return sketch.dtype.lower()
        known = self.graph.values.get(value)
        return known.dtype.lower() if known is not None and known.dtype else None

    def is_complex(self, value: str) -> bool:
        """Whether each element is two numbers."""
        return "complex" in (self._dtype(value) or "")

    def root(self, value: str) -> str:
        """The tensor that a chain of layout-only nodes started from."""
        if value not in self._roots:
            self._roots[value] = self.chain(value)[0]
        return self._roots[value]

    def chain(self, value: str) -> list[str]:
        """The values from the root to ``value``, both included, in the order of the flow."""
        values, seen = [value], {value}
        while True:
            node = self.producer.get(values[-1])
            source = self.moved(node) if node is not None else None
            if source is None or source in seen:
                return values[::-1]
            values.append(source)
            seen.add(source)

    def members(self, root: str) -> list[str]:
        """The root and everything that layout-only nodes make of it."""
        if root not in self._members:
            found, stack = dict.fromkeys([root]), [root]
            while stack:
                value = stack.pop()
                made = [node.outputs[0] for node in self.graph.readers(value) if self.moved(node) == value]
                stack.extend(name for name in made if name not in found)
                found.update(dict.fromkeys(made))
            self._members[root] = list(found)
        return self._members[root]

    def readers(self, root: str) -> list[tuple[Node, str]]:
        """The nodes that use a tensor or a moved form of it, each with the form it reads; dataflow order."""
        if root not in self._readers:
            readers = [
                (node, member)
                for member in self.members(root)
                for node in self.graph.readers(member)
                if self.moved(node) != member
            ]
            self._readers[root] = sorted(readers, key=lambda reader: self.order.get(reader[0].index, 0))
        return self._readers[root]

    def size(self, value: str) -> int | None:
        """Number of elements of a value, when known."""
        shape = self.shape(value)
        return None if shape is None else prod(shape)

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The shape at run time, else the declared one when it is complete."""
        if value not in self._shapes:
            self._shapes[value] = self._find_shape(value)
        return self._shapes[value]

    def _find_shape(self, value: str) -> tuple[int, ...] | None:
        sketch = self.sketches.get(value)
        if sketch is not None:
            return sketch.shape
        shape = self.graph.values[value].shape if value in self.graph.values else None
        return None if shape is None or None in shape else tuple(int(dim or 0) for dim in shape)


def reads_turned(node: Node, operand: str) -> bool:
    """Whether a product reads a factor with its last two axes exchanged."""
    words = ("transpose_a", "transpose_b")
    return any(
        name == operand and bool(node.attributes.get(word)) for word, name in zip(words, node.inputs, strict=False)
    )


def _same_elements(before: Sketch | None, after: Sketch | None) -> bool:
    return before is not None and after is not None and before.finite and before.same_elements(after)


def _moved_within(before: Sketch | None, after: Sketch | None) -> bool:
    """Whether a tensor that kept its shape holds other elements, or the same ones in other places."""
    return before is not None and after is not None and before.finite and before.min < before.max and before != after


def _clips(before: Sketch, after: Sketch) -> bool:
    """Whether quantising cut values off, as it does where a converter has left an activation to the range."""
    step = (after.max - after.min) / _LEVELS
    return before.min < after.min - step or before.max > after.max + step


def read(
    graph: Graph,
    sketches: Mapping[str, Sketch],
    computing: frozenset[int] = frozenset(),
    rearranged: frozenset[str] = frozenset(),
) -> Skeleton:
    """Prepare a graph for alignment; ``sketches`` may be empty when nothing has run.

    ``computing`` are nodes that must not be seen through, whatever they do in this run; ``rearranged`` kinds that are.
    """
    skeleton = Skeleton(
        graph=graph,
        sketches=sketches,
        producer=graph.index.producers,
        constants=_constants(graph),
        order=_dataflow_order(graph),
        by_index={node.index: node for node in graph.nodes},
        computing=computing,
        rearranged=rearranged,
    )
    nodes = [
        node
        for node in graph.nodes
        if node.outputs
        and node.kind not in SOURCES
        and not all(name in skeleton.constants for name in node.outputs)
        and not skeleton.moves(node)
    ]
    skeleton.compute = sorted(nodes, key=lambda node: skeleton.order[node.index])
    return skeleton


def _constants(graph: Graph) -> dict[str, frozenset[str]]:
    constants = {name: frozenset({name}) for name in graph.weights}
    for node in graph.nodes:
        if node.kind in IMPURE or not node.outputs:
            continue
        inputs = [name for name in node.inputs if name]
        known = bool(inputs) and all(name in constants for name in inputs)
        if (node.kind in SOURCES or known) and not any(name in graph.inputs for name in node.outputs):
            roots = frozenset().union(*(constants.get(name, frozenset()) for name in inputs))
            for name in node.outputs:
                constants.setdefault(name, roots or frozenset({name}) & frozenset(graph.weights))
    return constants


def _dataflow_order(graph: Graph) -> dict[int, int]:
    producer = graph.index.producers
    order: dict[int, int] = {}

    def visit(value: str) -> None:
        stack: list[tuple[Node, Iterable[str]]] = []
        opened: set[int] = set()

        def open_node(name: str) -> None:
            node = producer.get(name)
            if node is not None and node.index not in order and node.index not in opened:
                opened.add(node.index)
                stack.append((node, iter(node.inputs)))

        open_node(value)
        while stack:
            node, inputs = stack[-1]
            for name in inputs:
                if name in producer and producer[name].index not in order and producer[name].index not in opened:
                    open_node(name)
                    break
            else:
                stack.pop()
                order.setdefault(node.index, len(order))

    for value in graph.outputs:
        visit(value)
    for node in graph.nodes:
        for value in node.outputs:
            visit(value)
        order.setdefault(node.index, len(order))
    return order
