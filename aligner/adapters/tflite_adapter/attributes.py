"""An operator's options in neutral words, with what TFLite leaves to its operands and shapes worked out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from aligner.adapters.tflite_adapter.kinds import kind_of
from aligner.adapters.tflite_adapter.schema import Operator, dtype_word, schema
from aligner.operations.window import same_pads
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Attribute, Shape

_ACTIVATIONS = {1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh", 5: "sign_bit"}
_TYPE_FIELDS = frozenset({"inDataType", "outDataType", "outType", "outputType", "idxOutType", "type"})
_RENAMED = {
    "keepDims": "keepdims",
    "adjX": "transpose_a",
    "adjY": "transpose_b",
    "squeezeDims": "axes",
    "newShape": "shape",
    "permutation": "perm",
    "seqDim": "axis",
    "numSplits": "splits",
    "valuesCount": "count",
    "num": "count",
    "dimension": "axis",
}
_DROPPED = frozenset(
    "padding fusedActivationFunction asymmetricQuantizeInputs quantizedBiasType potScaleInt16 weightsFormat "
    "compositeAttributes compositeAttributesFormat".split()
)
OPERANDS: Mapping[str, tuple[tuple[int, str], ...]] = {
    "MEAN": ((1, "axes"),),
    "SUM": ((1, "axes"),),
    "REDUCE_PROD": ((1, "axes"),),
    "REDUCE_MAX": ((1, "axes"),),
    "REDUCE_MIN": ((1, "axes"),),
    "REDUCE_ANY": ((1, "axes"),),
    "REDUCE_ALL": ((1, "axes"),),
    "REVERSE_V2": ((1, "axes"),),
    "TRANSPOSE": ((1, "perm"),),
    "RESHAPE": ((1, "shape"),),
    "BROADCAST_TO": ((1, "shape"),),
    "TILE": ((1, "repeats"),),
    "RESIZE_BILINEAR": ((1, "sizes"),),
    "RESIZE_NEAREST_NEIGHBOR": ((1, "sizes"),),
    "PAD": ((1, "pads"),),
    "PADV2": ((1, "pads"), (2, "value")),
    "MIRROR_PAD": ((1, "pads"),),
    "SPLIT": ((0, "axis"),),
    "SPLIT_V": ((1, "sizes"), (2, "axis")),
    "SLICE": ((1, "begin"), (2, "size")),
    "STRIDED_SLICE": ((1, "begin"), (2, "end"), (3, "steps")),
    "EXPAND_DIMS": ((1, "axis"),),
    "ARG_MAX": ((1, "axis"),),
    "ARG_MIN": ((1, "axis"),),
    "TOPK_V2": ((1, "k"),),
    "CUMSUM": ((1, "axis"),),
    "ONE_HOT": ((1, "depth"),),
    "SPACE_TO_BATCH_ND": ((1, "block_size"), (2, "pads")),
    "BATCH_TO_SPACE_ND": ((1, "block_size"), (2, "crops")),
}
"""Attributes that TFLite passes as operands: position → name; taken where the operand is a constant."""
_MODES = {"RESIZE_BILINEAR": "linear", "RESIZE_NEAREST_NEIGHBOR": "nearest", "PAD": "constant", "PADV2": "constant"}
_AXES = ("D", "H", "W")
_LONGEST_OPERAND = 64
"""Elements of a constant operand that is shown as an attribute: axes, sizes, paddings."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an operator's attributes depend on besides its options."""

    shape: Callable[[int], Shape | None]
    constant: Callable[[int], Array | None]
    """The content of a constant tensor by its index, None for one that is computed."""


def attributes_of(operator: Operator, around: Surroundings) -> Mapping[str, Attribute]:
    """The attributes under ``records.graph``'s names; options without a neutral name keep theirs, in snake case."""
    options = dict(operator.options)
    found = _plain(options)
    if options.get("fusedActivationFunction"):
        found["fused_activation"] = _ACTIVATIONS.get(options["fusedActivationFunction"], "unknown")
    found.update(_from_operands(operator, around))
    if "strideH" in options or "strideW" in options:
        found.update(_window(operator, around))
    found.update(_particular(operator, around))
    return MappingProxyType(found)


def _plain(options: Mapping[str, Any]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for key, value in options.items():
        if key in _DROPPED or key.startswith(("stride", "dilation", "filter")) or value is None:
            continue
        if key in _TYPE_FIELDS and isinstance(value, int):
            value = dtype_word(value)
        attribute = _attribute(value)
        if attribute is not None:
            found[_RENAMED.get(key) or re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).lower()] = attribute
    return found


def _attribute(value: Any) -> Attribute:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple) and len(value) <= _LONGEST_OPERAND:
        return tuple(_attribute(entry) for entry in value)
    return value if isinstance(value, bool | int | float) else None


def _from_operands(operator: Operator, around: Surroundings) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    for position, name in OPERANDS.get(operator.op, ()):
        content = around.constant(operator.inputs[position]) if position < len(operator.inputs) else None
        if content is None or content.size > _LONGEST_OPERAND:
            continue
        single = name in {"axis", "k", "depth", "value"} and content.size == 1
        value: Any = content.reshape(-1)[0].item() if single else content.tolist()
        found[name] = _attribute([value] if name == "axes" and not isinstance(value, list) else value)
    return found


def _window(operator: Operator, around: Surroundings) -> dict[str, Attribute]:
    """Strides, dilations, kernel, groups and pads of convolutions and poolings."""
    options, axes = operator.options, [axis for axis in _AXES if f"stride{axis}" in operator.options]
    strides = tuple(options[f"stride{axis}"] for axis in axes)
    dilations = tuple(options.get(f"dilation{axis}Factor", 1) for axis in axes)
    found: dict[str, Attribute] = {"strides": strides, "dilations": dilations}
    transposed = kind_of(operator.op) == "conv_transpose"
    source = operator.inputs[2 if transposed else 0] if len(operator.inputs) > (2 if transposed else 0) else -1
    kernel, groups = _kernel(operator, source, around)
    if kernel is not None:
        found["kernel"] = kernel
    if groups is not None:
        found["groups"] = groups
    # A transposed convolution pads like the convolution that it reverses, so its output stands for the input.
    sizes = around.shape(operator.outputs[0] if transposed and operator.outputs else source) or ()
    pads = _pads(options.get("padding"), sizes[1:-1], kernel, strides, dilations)
    if pads is None:
        found["padding"] = "SAME" if options.get("padding") == schema().Padding.SAME else "VALID"
    else:
        found["pads"] = pads
        inner = around.shape(source) or ()
        if transposed and kernel is not None and len(inner) == len(sizes) and None not in inner:
            found["output_padding"] = tuple(
                max(int(out or 0) - ((int(size or 0) - 1) * stride + length), 0)
                for out, size, stride, length in zip(sizes[1:-1], inner[1:-1], strides, kernel, strict=False)
            )
    return found


def _kernel(operator: Operator, source: int, around: Surroundings) -> tuple[tuple[int, ...] | None, int | None]:
    options = operator.options
    if "filterHeight" in options:
        return (options["filterHeight"], options["filterWidth"]), None
    if len(operator.inputs) < 2:
        return None, None
    weight, shape = around.shape(operator.inputs[1]), around.shape(source)
    if weight is None or None in weight or len(weight) < 4:
        return None, None
    sizes = tuple(int(size or 0) for size in weight)
    channels = shape[-1] if shape and shape[-1] else None
    if operator.op in {"CONV_3D", "CONV_3D_TRANSPOSE"}:  # filters are D, H, W, in, out; elsewhere out, H, W, in
        return sizes[:3], None
    if operator.op == "DEPTHWISE_CONV_2D":
        return sizes[1:3], channels
    return sizes[1:3], channels // sizes[3] if channels and sizes[3] and channels % sizes[3] == 0 else None


def _pads(
    padding: int | None,
    sizes: Shape,
    kernel: tuple[int, ...] | None,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, int], ...] | None:
    """Explicit (begin, end) for each axis; None where a size that matters is unknown: with a stride of 1 none does."""
    if padding == schema().Padding.VALID:
        return ((0, 0),) * len(strides)
    if kernel is None or len(sizes) != len(strides) or any(stride < 1 for stride in strides):
        return None
    if any(size is None and stride != 1 for size, stride in zip(sizes, strides, strict=True)):
        return None
    return same_pads([size or 0 for size in sizes], kernel, strides, dilations, upper=True)


def _particular(operator: Operator, around: Surroundings) -> dict[str, Attribute]:
    """What single operators mean without saying it."""
    op, found = operator.op, dict[str, "Attribute"]()
    if op in _MODES:
        found["mode"] = _MODES[op]
    elif op == "MIRROR_PAD":
        found["mode"] = "reflect" if operator.options.get("mode") == schema().MirrorPadMode.REFLECT else "symmetric"
    elif op in {"SOFTMAX", "LOG_SOFTMAX", "L2_NORMALIZATION"}:
        found["axis"] = -1
    elif op == "DEPTH_TO_SPACE":
        found["mode"] = "DCR"
    elif op == "FULLY_CONNECTED":
        found["transpose_b"] = True
    elif op in {"PACK", "CONCATENATION"} and operator.outputs:
        shape = around.shape(operator.outputs[0])
        axis = operator.options.get("axis", 0)
        found["axis"] = axis + len(shape) if shape and axis < 0 else axis
    return found
