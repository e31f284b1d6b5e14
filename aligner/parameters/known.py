"""The arrays of a graph as far as they are known: what was seen, what is stored, and what nodes compute from such."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from aligner.adapters.registry import translator
from aligner.operations.call import Translation, call_of
from aligner.operations.kinds import LAYOUT
from aligner.operations.operation import Operation, Unsupported, compute
from aligner.records.array import Array
from aligner.records.graph import Graph, Node, Weight

ShapeOf = Callable[[str], "tuple[int | None, ...] | None"]
_RECODING = LAYOUT - {"quantize"}
"""What a weight may go through and still be the one that is stored."""
_DEEPEST = 64
"""Nodes between a stored weight and what is made of it."""


def stored_weight(graph: Graph, name: str) -> Weight | None:
    """The weight that a value is, or is moved or recoded from."""
    for _ in range(8):
        if name in graph.weights:
            return graph.weights[name]
        node = graph.producer(name)
        if node is None or node.kind not in _RECODING or not node.inputs:
            return None
        name = node.inputs[0]
    return None


class Known:
    """Reads each weight once, computes each constant once.

    ``beyond`` is what others of the same graph, of the same shapes and who have seen nothing either, know to be out of
    reach: the regions of a graph would each walk the same ways back.
    """

    def __init__(
        self,
        graph: Graph,
        shape_of: ShapeOf,
        seen: Mapping[str, Array] | None = None,
        *,
        beyond: dict[str, int] | None = None,
    ) -> None:
        self.graph = graph
        self.seen = seen or {}
        self._shape_of = shape_of
        self._found: dict[str, Array] = {}
        self._out_of_reach: dict[str, int] = {}
        """Value → within how many nodes it cannot be known: where residuals meet, ways back double at each of them."""
        self._beyond = {} if beyond is None or self.seen else beyond

    @cached_property
    def _translate(self) -> Translation:
        return translator(self.graph.framework)

    def array(self, name: str) -> Array | None:
        """What a value held, a weight holds (as real numbers), or nodes make of those; None where none of it is so."""
        try:
            found = self._array(name, _DEEPEST)
        except BaseException:
            self._beyond = {}  # the walk has not ended: what it marked may still be known
            raise
        if found is None:
            self._beyond |= {name: depth for name, depth in self._out_of_reach.items() if name not in self._found}
        return found

    def operation(self, node: Node, array: Callable[[str], Array | None], constant: Callable[[str], bool]) -> Operation:
        """What a node computes on these arrays; raises Unsupported."""
        return self._translate(call_of(self.graph, node, array, constant, self._shape_of))

    def _array(self, name: str, depth: int) -> Array | None:
        if name in self.seen:
            return self.seen[name]
        if name in self._found:
            return self._found[name]
        if depth <= self._out_of_reach.get(name, -1) or depth <= self._beyond.get(name, -1):
            return None
        self._out_of_reach[name] = depth  # until it is known: also ends the walk where nodes read each other
        weight = self.graph.weights.get(name)
        found = self._computed(name, depth) if weight is None else weight.values()
        if found is not None:
            self._found[name] = found
        return found

    def _computed(self, name: str, depth: int) -> Array | None:
        node = self.graph.producer(name)
        if node is None or len(node.outputs) != 1 or not node.inputs or not depth:
            return None
        weight = stored_weight(self.graph, name) if node.kind == "dequantize" else None
        if weight is not None and weight.quantization is not None:
            return self._array(node.inputs[0], depth - 1)  # real numbers already
        try:
            return compute(
                self.operation(node, lambda each: self._array(each, depth - 1), self.graph.weights.__contains__)
            )
        except Unsupported:
            return None
