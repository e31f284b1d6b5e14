"""A node with its stored parameters in the one layout that all frameworks share, as far as the graph alone tells."""

from __future__ import annotations

import numpy as np

from aligner.numerics import relations
from aligner.operations.operation import Operation, Unsupported
from aligner.parameters.known import Known, ShapeOf
from aligner.records.array import Array
from aligner.records.graph import Graph, Node


def canonical(graph: Graph, node: Node, shape_of: ShapeOf) -> Operation | None:
    """What a node computes, its parameters read and canonical; None where it is not understood.

    Zeros of the known shapes stand for data: enough to read settings and parameters, not to compute.
    """
    known = Known(graph, shape_of)
    held = {name: known.array(name) for name in node.inputs if name and not graph.varies(name)}

    def array(name: str) -> Array:
        found = held.get(name)
        if found is not None:
            return found
        return np.broadcast_to(np.float32(0), [size or 1 for size in shape_of(name) or (1, 1)])

    try:
        return known.operation(node, array, lambda name: held.get(name) is not None)
    except Unsupported:
        return None


def operation_kind(graph: Graph, node: Node) -> str | None:
    """Which operation a node is, where its own kind lumps several together; None where it is not understood."""
    operation = canonical(graph, node, lambda _: None)
    return operation.kind if operation is not None else None


def stored_axis(stored: Array, kernel: Array, axis: int) -> int | None:
    """The axis of a kernel as it is stored that is an axis of the canonical one, by the sums along it."""

    def sums(array: Array, along: int) -> Array:
        moved = np.moveaxis(array, along, 0)
        total: Array = moved.reshape(moved.shape[0], -1).sum(axis=1, dtype=np.float64)
        return total

    wanted = sums(kernel, axis)
    for place in sorted(range(stored.ndim), key=lambda place: place != axis):
        if stored.shape[place] == wanted.size and relations.gap(wanted, sums(stored, place)) <= relations.SAME:
            return place
    return None
