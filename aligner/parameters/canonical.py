"""A node with its stored parameters in the one layout that all frameworks share, as far as the graph alone tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aligner.operations.kernels  # noqa: F401 - registers what reads and computes each kind
from aligner.numerics import relations
from aligner.operations.operation import Call, Operation, Unsupported, compute, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.records.graph import Graph, Node

    Array = NDArray[Any]
    ShapeOf = Callable[[str], "tuple[int, ...] | None"]

_MISREAD = (Unsupported, ValueError, IndexError, TypeError, ArithmeticError)
_DEEPEST = 16
"""Nodes between a stored weight and the layer that reads it."""


def canonical(graph: Graph, node: Node, shape_of: ShapeOf) -> Operation | None:
    """What a node computes, its parameters read and canonical; None where it is not understood.

    Zeros of the known shapes stand for data: enough to read settings and parameters, not to compute.
    """
    import numpy as np

    operands: list[Array | None] = []
    constant: list[bool] = []
    for name in node.inputs:
        held = _constant(graph, name, shape_of, _DEEPEST) if name else None
        constant.append(held is not None)
        zeros = np.broadcast_to(np.float32(0), shape_of(name) or (1, 1)) if name and held is None else None
        operands.append(held if held is not None else zeros)
    try:
        shape = shape_of(node.outputs[0]) if node.outputs else None
        return read(Call(node, operands, constant, graph.channels, shape))
    except _MISREAD:
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
    operands = [_constant(graph, each, shape_of, depth - 1) if each else None for each in node.inputs]
    if any(each and operand is None for each, operand in zip(node.inputs, operands, strict=True)):
        return None
    try:
        constant = [bool(each) for each in node.inputs]
        return compute(read(Call(node, operands, constant, graph.channels, shape_of(name))))
    except _MISREAD:
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
