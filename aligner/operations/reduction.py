"""How many products one element of a node's output adds up."""

from __future__ import annotations

import math

from aligner.operations.kinds import SUMS_AXIS, SUMS_PRODUCTS
from aligner.records.graph import Graph, Node


def reduction_length(graph: Graph, node: Node) -> int:
    """From the weight where there is one, else the longest axis read."""
    weights = [graph.weights[name].shape for name in node.weights if name in graph.weights]
    if node.kind in SUMS_PRODUCTS:
        if not weights:
            return longest_axis(graph, node)
        largest = max(weights, key=math.prod)
        outputs = {dim for value in node.outputs for dim in _known(graph, value) or ()}
        channels = [dim for dim in largest if dim > 1 and dim in outputs]
        return max(1, math.prod(largest) // min(channels)) if channels else math.isqrt(math.prod(largest))
    return longest_axis(graph, node) if node.kind in SUMS_AXIS else 1


def longest_axis(graph: Graph, node: Node) -> int:
    """The longest axis of what a node reads; all of space counts as one."""
    total = 1
    for value in node.inputs:
        shape = _known(graph, value)
        if shape:
            spatial = math.prod(shape[2:]) if len(shape) >= 4 else 1
            total = max(total, spatial, *shape)
    return total


def _known(graph: Graph, value: str) -> tuple[int, ...] | None:
    found = graph.values.get(value)
    if found is None or found.shape is None:
        return None
    return tuple(dim for dim in found.shape if dim is not None)
