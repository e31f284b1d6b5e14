"""A quantised tensor's scale and zero point as the reference's numbers ask for, where they are stored as weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aligner.adapters.rewriting import Edit, Regrid, Restore
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph
from aligner.repair.patch import Patch

_INTEGERS = frozenset({"int8", "uint8", "int16", "uint16"})


def recalibrated(culprit: Culprit) -> Iterator[Patch]:
    """Read as it was stored; then stored for the range of the reference's tensor.

    Where the region recodes nothing, the tensor itself may declare its numbers; nothing where they are computed.
    """
    subgraph, expected = culprit.candidate, culprit.expected
    node = next((found for one in reversed(subgraph.nodes) if (found := _quantizing(subgraph, one)) is not None), None)
    if expected is None or not expected.size or not np.isfinite(expected).all():
        return
    value, low, high = culprit.measured.pair.candidate, float(expected.min()), float(expected.max())
    same = tuple(_as_stored(subgraph, node)) if node is not None else ()
    if same:
        yield Patch(value, culprit.where, "with the scale and zero point that it was quantised with", same)
    other: tuple[Edit, ...] = tuple(_for_range(subgraph, node, low, high)) if node is not None else ()
    other = other or tuple(_declared(subgraph, value, low, high))
    if other:
        where = culprit.where if node is None else node.name
        yield Patch(value, where, "with scale and zero point for the range of the reference's tensor", other)


def _declared(subgraph: Subgraph, name: str, low: float, high: float) -> Iterator[Edit]:
    """Another grid, where the tensor itself declares the one that it is computed on."""
    value = subgraph.graph.values.get(name)
    grid = value.quantization if value is not None else None
    if value is not None and value.dtype in _INTEGERS and grid is not None and len(grid.scale) == 1:
        yield Regrid(name, *_grid(min(low, 0.0), max(high, 0.0), np.asarray(grid.zero_point), value.dtype))


def _quantizing(subgraph: Subgraph, node: Node) -> Node | None:
    """The node itself, or the one whose integers it reads."""
    if node.kind == "dequantize" and node.inputs:
        made = subgraph.graph.producer(node.inputs[0])
        return made if made is not None and made.kind == "quantize" else None
    return node if node.kind == "quantize" else None


def _readers(subgraph: Subgraph, node: Node) -> list[Node]:
    return [one for one in subgraph.graph.nodes if one.kind == "dequantize" and one.inputs[:1] == node.outputs[:1]]


def _as_stored(subgraph: Subgraph, node: Node) -> Iterator[Edit]:
    """The node's own numbers for whoever reads its integers."""
    for reader in _readers(subgraph, node):
        for name, own in zip(reader.inputs[1:], node.inputs[1:], strict=False):
            weight, right = subgraph.graph.weights.get(name), subgraph.graph.weights.get(own)
            if weight is None or right is None or weight.shape != right.shape:
                continue
            numbers = right.load()
            if not np.array_equal(numbers, weight.load()):
                yield Restore(name, numbers)


def _for_range(subgraph: Subgraph, node: Node, low: float, high: float) -> Iterator[Edit]:
    """Other numbers for the node, and for what reads its integers: both mean the same by them."""
    stored = _stored(subgraph, node)
    if stored is None:
        return
    done: set[str] = set()
    for each in (node, *_readers(subgraph, node)):
        for name, value in zip(each.inputs[1:], _grid(min(low, 0.0), max(high, 0.0), *stored), strict=False):
            weight = subgraph.graph.weights.get(name)
            if weight is not None and name not in done:
                done.add(name)
                yield Restore(name, np.full(weight.shape, value, np.dtype(weight.dtype)))


def _stored(subgraph: Subgraph, node: Node) -> tuple[Array, str] | None:
    """The zero point, and the type of the integers; None where there is more than one step, or none is stored."""
    weights = [subgraph.graph.weights.get(name) for name in node.inputs[1:]]
    if len(weights) != 2 or any(weight is None or _many(weight.shape) for weight in weights):
        return None
    zero = weights[1]
    assert zero is not None
    return zero.load(), zero.dtype


def _many(shape: tuple[int, ...]) -> bool:
    return any(size != 1 for size in shape)


def _grid(low: float, high: float, zero: Array, dtype: str) -> tuple[float, int]:
    """The finest grid of that type that holds the range and 0; one without offset stays without."""
    ends = np.iinfo(np.dtype(dtype))
    if ends.min < 0 and not zero.any():
        return (max(-low, high) / ends.max or 1.0), 0
    scale = (high - low) / (ends.max - ends.min) or 1.0
    return scale, int(np.clip(round(ends.min - low / scale), ends.min, ends.max))
