"""A node with its stored parameters in the one layout that all frameworks share, as far as the graph alone tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aligner.adapters.registry import translator
from aligner.numerics import relations
from aligner.operations.call import call_of
from aligner.operations.operation import Operation, Unsupported, compute

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.records.graph import Graph, Node

    Array = NDArray[Any]
    ShapeOf = Callable[[str], "tuple[int, ...] | None"]

_DEEPEST = 16
"""Nodes between a stored weight and the layer that reads it."""


def canonical(graph: Graph, node: Node, shape_of: ShapeOf) -> Operation | None:
    """What a node computes, its parameters read and canonical; None where it is not understood.

    Zeros of the known shapes stand for data: enough to read settings and parameters, not to compute.
    """
    import numpy as np

    held = {name: _constant(graph, name, shape_of, _DEEPEST) for name in node.inputs if name}

    def array(name: str) -> Array:
        found = held[name]
        return np.broadcast_to(np.float32(0), shape_of(name) or (1, 1)) if found is None else found

    try:
        call = call_of(graph, node, array, lambda name: held[name] is not None, shape_of)
        return translator(graph.framework)(call)
    except Unsupported:
        return None


def _constant(graph: Graph, name: str, shape_of: ShapeOf, depth: int) -> Array | None:
    """The real numbers of a weight, or of what nodes compute from weights alone."""
    if name in graph.weights:
        return graph.weights[name].values()
    node = graph.producer(name)
    if node is None or not node.inputs or not depth or graph.varies(name):
        return None
    if node.kind == "dequantize" and (stored := graph.weights.get(node.inputs[0])) is not None and stored.quantization:
        return stored.values()
    try:
        call = call_of(graph, node, lambda each: _constant(graph, each, shape_of, depth - 1), bool, shape_of)
        return compute(translator(graph.framework)(call))
    except Unsupported:
        return None


def stored_axis(stored: Array, kernel: Array, axis: int) -> int | None:
    """The axis of a kernel as it is stored that is an axis of the canonical one, by the sums along it."""
    import numpy as np

    def sums(array: Array, along: int) -> Array:
        moved = np.moveaxis(array, along, 0)
        total: Array = moved.reshape(moved.shape[0], -1).sum(axis=1, dtype=np.float64)
        return total

    wanted = sums(kernel, axis)
    for place in sorted(range(stored.ndim), key=lambda place: place != axis):
        if stored.shape[place] == wanted.size and relations.gap(wanted, sums(stored, place)) <= relations.SAME:
            return place
    return None
