"""A graph read for alignment: constants folded away, layout-only nodes seen through, an order of its own.

The order comes from the dataflow alone (depth first from the outputs, operands in operand order), so neither the
order of nodes in a file nor the names of values can change a pairing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aligner.records.alignment import Sketch
from aligner.records.graph import Graph, Node

LAYOUT_KINDS = frozenset({"transpose", "reshape", "identity", "dropout", "cast", "quantize", "dequantize"})
"""One data input, and an output that holds the same elements: the tensor before and after are one thing, moved."""

UNLESS_RESIZED = frozenset({"pad", "slice", "expand", "tile", "resize"})
"""Kinds that change nothing where the shape stays as it is: padding by zero, a slice of everything."""

UNLESS_CHANGED = frozenset({"add", "sub", "mul", "div", "where"})
"""Kinds that change nothing with a neutral constant (a mask of zeros, a scale of one), as the run shows."""

_LEVELS = 100
IGNORED_KINDS = frozenset({"constant", "shape"})


@dataclass(slots=True)
class Skeleton:
    """What alignment needs to know of one side."""

    graph: Graph
    sketches: Mapping[str, Sketch]
    producer: dict[str, Node]
    consumers: dict[str, list[Node]]
    constants: dict[str, frozenset[str]]
    """Value id → the weights it is computed from, for values that no data reaches; weights map to themselves.

    What is computed from shapes alone is constant too: it says how a tensor is laid out, not what it holds.
    """
    order: dict[int, int]
    """Node index → its place in the dataflow's own order."""
    compute: list[Node] = field(default_factory=list)
    """The nodes that do something to data, in that order."""

    def data_inputs(self, node: Node) -> list[str]:
        """The operands that data flows through, in operand order."""
        return [name for name in node.inputs if name and name not in self.constants]

    def weight_roots(self, node: Node) -> list[str]:
        """The stored weights a node uses, in operand order, seen through dequantize, cast and transpose."""
        roots: list[str] = []
        for name in node.inputs:
            if name in self.constants:
                roots.extend(sorted(self.constants[name]))
        return roots

    def moves(self, node: Node) -> bool:
        """Whether the node only moves, renames or recodes its one data input."""
        if not node.outputs or node.kind not in LAYOUT_KINDS | UNLESS_RESIZED | UNLESS_CHANGED:
            return False
        data = self.data_inputs(node)
        if len(data) != 1:
            return False
        if node.kind in UNLESS_CHANGED:
            before = self.sketches.get(data[0])
            return before is not None and before.finite and before == self.sketches.get(node.outputs[0])
        if node.kind in UNLESS_RESIZED:
            shape = self.shape(data[0])
            return shape is not None and shape == self.shape(node.outputs[0])
        before, after = self.sketches.get(data[0]), self.sketches.get(node.outputs[0])
        if node.kind == "cast" and self._rounds(data[0], node.outputs[0]):
            return False
        if before is None or after is None:
            return True
        return before.size == after.size and not (node.kind == "quantize" and _clips(before, after))

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

    def root(self, value: str) -> str:
        """The tensor that a chain of layout-only nodes started from."""
        seen = set()
        while value in self.producer and value not in seen:
            seen.add(value)
            node = self.producer[value]
            if not self.moves(node):
                break
            value = self.data_inputs(node)[0]
        return value

    def chain(self, value: str) -> list[str]:
        """The values from the root to ``value``, both included, in the order of the flow."""
        values = [value]
        while values[-1] in self.producer and self.moves(self.producer[values[-1]]):
            values.append(self.data_inputs(self.producer[values[-1]])[0])
            if len(values) > 1000:
                break
        return values[::-1]

    def members(self, root: str) -> list[str]:
        """The root and everything that layout-only nodes make of it."""
        found, stack = [], [root]
        while stack:
            value = stack.pop()
            if value in found:
                continue
            found.append(value)
            stack.extend(node.outputs[0] for node in self.consumers.get(value, ()) if self.moves(node))
        return found

    def readers(self, root: str) -> list[tuple[Node, str]]:
        """The nodes that use a tensor or a moved form of it, each with the form it reads; dataflow order."""
        readers = [
            (node, member)
            for member in self.members(root)
            for node in self.consumers.get(member, ())
            if not self.moves(node)
        ]
        return sorted(readers, key=lambda reader: self.order.get(reader[0].index, 0))

    def size(self, value: str) -> int | None:
        """Number of elements of a value, when known."""
        sketch = self.sketches.get(value)
        if sketch is not None:
            return sketch.size
        shape = self.graph.values[value].shape if value in self.graph.values else None
        if shape is None or any(dim is None for dim in shape):
            return None
        total = 1
        for dim in shape:
            total *= dim or 0
        return total

    def shape(self, value: str) -> tuple[int, ...] | None:
        """The shape at run time, else the declared one when it is complete."""
        sketch = self.sketches.get(value)
        if sketch is not None:
            return sketch.shape
        shape = self.graph.values[value].shape if value in self.graph.values else None
        return None if shape is None or any(dim is None for dim in shape) else tuple(int(dim or 0) for dim in shape)


def _clips(before: Sketch, after: Sketch) -> bool:
    """Whether quantising cut values off, as it does where a converter has left an activation to the range."""
    step = (after.max - after.min) / _LEVELS
    return before.min < after.min - step or before.max > after.max + step


def read(graph: Graph, sketches: Mapping[str, Sketch]) -> Skeleton:
    """Prepare a graph for alignment; ``sketches`` may be empty when nothing has run."""
    producer: dict[str, Node] = {}
    consumers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node.outputs:
            producer.setdefault(name, node)
        for name in dict.fromkeys(node.inputs):
            if name:
                consumers.setdefault(name, []).append(node)
    skeleton = Skeleton(
        graph=graph,
        sketches=sketches,
        producer=producer,
        consumers=consumers,
        constants=_constants(graph),
        order=_dataflow_order(graph, producer),
    )
    computing = [
        node
        for node in graph.nodes
        if node.outputs
        and node.kind not in IGNORED_KINDS
        and not all(name in skeleton.constants for name in node.outputs)
        and not skeleton.moves(node)
    ]
    skeleton.compute = sorted(computing, key=lambda node: skeleton.order[node.index])
    return skeleton


def _constants(graph: Graph) -> dict[str, frozenset[str]]:
    constants = {name: frozenset({name}) for name in graph.weights}
    for node in graph.nodes:
        if node.kind in {"random", "control_flow"} or not node.outputs:
            continue
        inputs = [name for name in node.inputs if name]
        known = bool(inputs) and all(name in constants for name in inputs)
        if (node.kind in IGNORED_KINDS or known) and not any(name in graph.inputs for name in node.outputs):
            roots = frozenset().union(*(constants.get(name, frozenset()) for name in inputs))
            for name in node.outputs:
                constants.setdefault(name, roots or frozenset({name}) & frozenset(graph.weights))
    return constants


def _dataflow_order(graph: Graph, producer: Mapping[str, Node]) -> dict[int, int]:
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
