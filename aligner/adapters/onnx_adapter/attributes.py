"""A node's attributes in neutral names: defaults filled in, constant inputs read, padding made explicit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from math import prod
from types import MappingProxyType
from typing import Any

from aligner.adapters.onnx_adapter.blocked import BLOCKED
from aligner.adapters.onnx_adapter.dtypes import dtype_word
from aligner.adapters.onnx_adapter.kinds import kind_of
from aligner.adapters.onnx_adapter.padding import SPATIAL, spatial
from aligner.operations.fused import fused_word
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Attribute, Shape

_FEW = 16
"""Elements of a tensor among the attributes that is shown as one of them."""
_REDUCTIONS = ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
_FROM_INPUTS: dict[str, dict[str, int]] = {
    "Clip": {"min": 1, "max": 2},
    "Reshape": {"shape": 1},
    "Expand": {"shape": 1},
    "ConstantOfShape": {"shape": 0},
    "Upsample": {"scales": 1},
    "Slice": {"starts": 1, "ends": 2, "axes": 3, "steps": 4},
    "Pad": {"pads": 1, "value": 2, "axes": 3},
    "Squeeze": {"axes": 1},
    "Unsqueeze": {"axes": 1},
    "Split": {"split": 1},
    "TopK": {"k": 1},
    "Tile": {"repeats": 1},
    "Dropout": {"ratio": 1, "training_mode": 2},
    "OneHot": {"depth": 1},
    "CumSum": {"axis": 1},
    "Trilu": {"k": 1},
    "NonMaxSuppression": {"max_output_boxes_per_class": 2, "iou_threshold": 3, "score_threshold": 4},
} | {f"Reduce{word}": {"axes": 1} for word in _REDUCTIONS}
"""Operator → attribute → operand that holds it in newer opsets."""
_OF_SHAPES = frozenset({"Resize", "Transpose"})
"""Further ones whose attributes are told by operands, or by their shapes."""
_SCALARS = frozenset("min max value k ratio training_mode depth axis".split()) | frozenset(
    _FROM_INPUTS["NonMaxSuppression"]
)
_DTYPES = frozenset(("to", "dtype", "stash_type", "output_dtype"))
_RENAMED = {
    "kernel_shape": "kernel",
    "group": "groups",
    "num_groups": "groups",
    "activation": "fused_activation",
    "training_mode": "training",
    "transA": "transpose_a",
    "transB": "transpose_b",
}


@dataclass(frozen=True, slots=True)
class Operands:
    """What is known of the values around a node: shapes by name, and constants small enough to be attributes."""

    shape: Callable[[str], Shape | None]
    constant: Callable[[str], Array | None]


def attributes_of(node: Any, opset: int, operands: Operands) -> Mapping[str, Attribute]:
    """The attributes of one node; ``opset`` is the version of its domain that the model imports."""
    fixed = None if node.attribute else _fixed(node.op_type, node.domain, opset)
    return _read(node, opset, operands) if fixed is None else fixed


@lru_cache(maxsize=1024)
def _fixed(op_type: str, domain: str, opset: int) -> Mapping[str, Attribute] | None:
    """What an operator without attributes of its own has; None where its operands have a say in that."""
    from onnx import NodeProto

    if op_type in SPATIAL or op_type in _FROM_INPUTS or op_type in _OF_SHAPES:
        return None
    found = _read(NodeProto(op_type=op_type, domain=domain), opset, Operands(lambda _: None, lambda _: None))
    return None if "axis" in found or "axes" in found else found


def _read(node: Any, opset: int, operands: Operands) -> Mapping[str, Attribute]:
    found = dict(_defaults(node.op_type, "" if node.domain == "ai.onnx" else node.domain, opset))
    for attribute in node.attribute:
        value = _plain(attribute)
        if value is not None:
            found[attribute.name] = value
    found |= _constant_inputs(node, operands)
    if isinstance(found.get("activation"), str):
        found["activation"] = _fused_activation(str(found["activation"]), found)
    found = {_renamed(name, node): _worded(name, value) for name, value in found.items()}
    if node.op_type in SPATIAL:
        found = spatial(node.op_type, found, _shapes(node, operands))
    elif node.op_type == "Pad" and isinstance(found.get("pads"), tuple):
        found["pads"] = pairs(found["pads"])
    _absolute_axes(node, found, operands)
    if node.op_type == "Transpose" and "perm" not in found:
        shape = operands.shape(node.input[0])
        if shape is not None:
            found["perm"] = tuple(reversed(range(len(shape))))
    if node.domain == BLOCKED:
        found["blocked"] = True
    draws = kind_of(node.op_type, node.domain) == "random" or (node.op_type == "Dropout" and found.get("training"))
    if draws and "seed" not in found:
        found["seeded"] = False  # drawn anew in every session, whatever seed a run begins with
    return MappingProxyType(found)


def pairs(flat: Any) -> tuple[tuple[Any, Any], ...]:
    """(begin, …, end, …) as ((begin, end), …)."""
    half = len(flat) // 2
    return tuple(zip(flat[:half], flat[half:], strict=True)) if len(flat) == 2 * half else tuple(flat)


@lru_cache(maxsize=1024)
def _defaults(op_type: str, domain: str, opset: int) -> tuple[tuple[str, Attribute], ...]:
    from onnx import defs

    try:
        schema = defs.get_schema(op_type, opset, domain)
    except defs.SchemaError:
        return ()
    found: list[tuple[str, Attribute]] = []
    for name, attribute in schema.attributes.items():
        if attribute.default_value is not None and attribute.default_value.type:
            value = _plain(attribute.default_value)
            if value is not None:
                found.append((name, value))
    return tuple(found)


def _plain(attribute: Any) -> Attribute:
    """An AttributeProto's value, of a graph what it does; None for types and tensors with many elements."""
    kinds = attribute.AttributeType
    if attribute.type == kinds.GRAPH:
        return tuple(str(node.op_type) for node in attribute.g.node)
    if attribute.type == kinds.INT:
        return int(attribute.i)
    if attribute.type == kinds.FLOAT:
        return _shortest(attribute.f)
    if attribute.type == kinds.STRING:
        return str(attribute.s.decode("utf-8", "replace"))
    if attribute.type == kinds.INTS:
        return tuple(int(item) for item in attribute.ints)
    if attribute.type == kinds.FLOATS:
        return tuple(_shortest(item) for item in attribute.floats)
    if attribute.type == kinds.STRINGS:
        return tuple(item.decode("utf-8", "replace") for item in attribute.strings)
    if attribute.type == kinds.TENSOR and not attribute.t.data_location and prod(attribute.t.dims) <= _FEW:
        from onnx import numpy_helper

        return _numbers(numpy_helper.to_array(attribute.t))
    return None


def _shortest(value: float) -> float:
    """The number that was written, 1e-05, rather than its float32 neighbour, 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


def _numbers(array: Array, *, scalar: bool = False) -> Attribute:
    import numpy as np

    if array.dtype.kind not in "biufOUS" and array.dtype.name in ("bfloat16",):
        array = array.astype(np.float32)
    items = array.ravel().tolist()
    if array.dtype == np.float32:
        items = [_shortest(item) for item in items]
    if array.ndim == 0 or (scalar and len(items) == 1):
        return items[0] if len(items) == 1 else None
    return tuple(items)


def _constant_inputs(node: Any, operands: Operands) -> dict[str, Attribute]:
    if node.domain not in ("", "ai.onnx"):
        return {}
    places = _FROM_INPUTS.get(node.op_type, {})
    if node.op_type == "Resize":
        places = {"scales": 1} if len(node.input) == 2 else {"scales": 2, "sizes": 3}
    found: dict[str, Attribute] = {}
    for name, position in places.items():
        operand = node.input[position] if position < len(node.input) else ""
        array = operands.constant(operand) if operand else None
        if array is not None and array.size:
            found[name] = _numbers(array, scalar=name in _SCALARS)
    return found


def _renamed(name: str, node: Any) -> str:
    if name == "num_groups" and "Norm" not in node.op_type:
        return name
    return _RENAMED.get(name, name)


def _worded(name: str, value: Attribute) -> Attribute:
    if name in _DTYPES and isinstance(value, int) and value:
        return dtype_word(value) or value
    return value


def _fused_activation(word: str, found: Mapping[str, Attribute]) -> str:
    """The shared word for the activation of a fused node of onnxruntime's, with its numbers."""
    kind = {"leakyrelu": "leaky_relu"}.get(word.lower(), word.lower())
    names = {"leaky_relu": ("alpha",), "elu": ("alpha",), "hardsigmoid": ("alpha", "beta")}.get(kind, ())
    listed = found.get("activation_params")
    given = listed if isinstance(listed, tuple | list) else [found.get(f"activation_{name}") for name in names]
    return fused_word(kind, [float(number) for number in given if isinstance(number, int | float)])


def _shapes(node: Any, operands: Operands) -> tuple[Shape | None, ...]:
    return tuple(operands.shape(name) if name else None for name in node.input)


def _absolute_axes(node: Any, found: dict[str, Attribute], operands: Operands) -> None:
    """Count axes from the front where the rank is known; what makes new axes counts in its output."""
    name = node.output[0] if node.op_type in ("Unsqueeze", "OneHot") and node.output else next(iter(node.input), "")
    shape = operands.shape(name) if name else None
    if shape is None:
        return
    rank = len(shape)
    axis, axes = found.get("axis"), found.get("axes")
    if isinstance(axis, int) and axis < 0:
        found["axis"] = axis + rank
    if isinstance(axes, tuple):
        found["axes"] = tuple(item + rank if item < 0 else item for item in axes)
