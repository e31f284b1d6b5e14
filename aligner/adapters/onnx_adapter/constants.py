"""Constants of an ONNX graph: initializers and Constant nodes, as weights and as small arrays."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

from aligner.adapters.onnx_adapter.dtypes import dtype_word
from aligner.adapters.onnx_adapter.file import OnnxFile
from aligner.records.array import Array
from aligner.records.graph import Weight

_SMALL = 4096
"""Elements of a constant that says how: axes, sizes, limits; a larger one is a weight and is not read for that."""


def is_constant(node: Any) -> bool:
    """Whether the node is ONNX's own Constant."""
    return node.op_type == "Constant" and node.domain in ("", "ai.onnx")


def weights_of(graph: Any, file: OnnxFile) -> Iterator[tuple[str, Weight]]:
    """(name, Weight) of the initializers and Constant nodes of one graph, without its subgraphs."""
    for tensor in graph.initializer:
        stored = file.tensors.get(tensor.name, tensor) if tensor.data_location else tensor
        yield tensor.name, _weight(tensor.name, stored, file)
    for node in graph.node:
        if is_constant(node) and any(node.output[:1]):
            tensor = constant_tensor(node)
            if tensor is not None:
                yield node.output[0], _weight(node.output[0], tensor, file)


def _weight(name: str, tensor: Any, file: OnnxFile) -> Weight:
    word = dtype_word(tensor.data_type) or f"type {tensor.data_type}"
    return Weight(name, tuple(tensor.dims), word, partial(file.array, tensor), place=partial(file.place, tensor))


def constant_tensor(node: Any) -> Any:
    """The TensorProto of a Constant node; None for sparse ones."""
    from onnx import TensorProto, helper

    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if attribute.name == "value":
            return value
        for name, kind in (
            ("value_float", TensorProto.FLOAT),
            ("value_int", TensorProto.INT64),
            ("value_string", TensorProto.STRING),
        ):
            if attribute.name == name:
                return helper.make_tensor(node.output[0], kind, (), [value])
            if attribute.name == f"{name}s":
                return helper.make_tensor(node.output[0], kind, (len(value),), list(value))
    return None


class SmallConstants:
    """Name → array of constants that are small enough to be attributes; looks through Identity and Cast-free copies."""

    def __init__(self, weights: dict[str, Weight], graph: Any) -> None:
        self._weights = weights
        self._copies = {
            node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity" and node.output
        }

    def __call__(self, name: str) -> Array | None:
        for _ in range(16):
            if name not in self._copies:
                break
            name = self._copies[name]
        weight = self._weights.get(name)
        return weight.load() if weight is not None and prod(weight.shape) <= _SMALL else None
