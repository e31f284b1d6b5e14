"""Scale and zero point of the values around quantising nodes, where these are constants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aligner.records.array import Array
from aligner.records.graph import Quantization

_BINARY = (("input", 0, 1, 2), ("input", 3, 4, 5), ("output", 0, 6, 7))
_UNARY = (("input", 0, 1, 2), ("output", 0, 3, 4))
_PLACES: dict[str, tuple[tuple[str, int, int, int], ...]] = {
    "QuantizeLinear": (("output", 0, 1, 2),),
    "DequantizeLinear": (("input", 0, 1, 2),),
    "QLinearConv": _BINARY,
    "QLinearMatMul": _BINARY,
    "QLinearAdd": _BINARY,
    "QLinearMul": _BINARY,
    "QLinearSigmoid": _UNARY,
    "QLinearLeakyRelu": _UNARY,
    "QLinearAveragePool": _UNARY,
    "QLinearGlobalAveragePool": _UNARY,
    "QLinearReduceMean": _UNARY,
    "QLinearSoftmax": _UNARY,
    "QLinearConcat": (("output", 0, 0, 1),),
    "QLinearWhere": (("input", 1, 2, 3), ("input", 4, 5, 6), ("output", 0, 7, 8)),
    "QGemm": (("input", 0, 1, 2), ("input", 3, 4, 5), ("output", 0, 7, 8)),
}
"""Operator → (side and position of the stored tensor, operand of its scale, operand of its zero point)."""
_MOVES = frozenset(
    "Reshape Transpose Flatten Squeeze Unsqueeze Identity Slice Gather GatherElements Split Expand Tile DepthToSpace "
    "SpaceToDepth MaxPool Relu Clip Max Min Pad Where Concat".split()
)
"""Operators whose outputs hold stored integers of their first stored operand, and mean them alike."""


def quantizations(graph: Any, constant: Callable[[str], Array | None]) -> dict[str, Quantization]:
    """Value or initializer name → how its stored integers are meant."""
    ranks = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    found: dict[str, Quantization] = {}
    for node in graph.node:
        for name, quantization in _around(node, constant, ranks):
            found.setdefault(name, quantization)
        if node.op_type in _MOVES:
            stored = next((found[name] for name in node.input if name in found), None)
            if stored is not None and stored.axis is None:
                for name in node.output:
                    found.setdefault(name, stored)
    return found


def _around(
    node: Any, constant: Callable[[str], Array | None], ranks: Mapping[str, int]
) -> Iterator[tuple[str, Quantization]]:
    for side, position, scale_at, zero_at in _PLACES.get(node.op_type, ()):
        names = getattr(node, side)
        if len(node.input) <= scale_at or len(names) <= position:
            continue
        scale = constant(node.input[scale_at])
        has_zero = len(node.input) > zero_at and bool(node.input[zero_at])
        zero = constant(node.input[zero_at]) if has_zero else None
        if (
            scale is None
            or scale.dtype.kind not in "fiu"
            or scale.ndim > 1
            or (has_zero and (zero is None or zero.dtype.kind not in "fiu"))
        ):
            continue
        points = tuple(int(item) for item in zero.ravel()) if zero is not None else (0,) * scale.size
        axis = _axis(node, ranks.get(names[position], 2)) if scale.ndim == 1 and scale.size > 1 else None
        yield names[position], Quantization(tuple(float(item) for item in scale.ravel()), points, axis)


def _axis(node: Any, rank: int) -> int:
    """The axis with a scale for each slice: of a matrix product's right factor its columns."""
    if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
        return next((int(attribute.i) for attribute in node.attribute if attribute.name == "axis"), 1)
    if node.op_type == "QLinearMatMul":
        return rank - 1
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 1 if node.op_type == "QGemm" and not transposed else 0
