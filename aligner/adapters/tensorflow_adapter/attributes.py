"""An operation's attributes in neutral words, with what TensorFlow leaves to operands and shapes worked out."""

from __future__ import annotations

from typing import Any

from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.adapters.tensorflow_adapter.translation.lite_words import LITE_WORDS
from aligner.adapters.tflite_adapter.attributes import OPERANDS as LITE_OPERANDS
from aligner.operations.window import same_pads
from aligner.records.graph import Attribute

_RENAMED = {
    "adj_x": "transpose_a",
    "adj_y": "transpose_b",
    "squeeze_dims": "axes",
    "is_training": "training",
    "depth_radius": "radius",
    "keep_dims": "keepdims",
    "ksize": "kernel",
}
_KEPT = frozenset(
    "strides dilations padding transpose_a transpose_b epsilon alpha beta bias axis num align_corners "
    "half_pixel_centers begin_mask end_mask ellipsis_mask new_axis_mask shrink_axis_mask block_size equation exclusive "
    "reverse batch_dims mode DstT dtype seed sorted".split()
)
_SETTINGS = {"ConcatV2": (-1, "axis"), "GatherV2": (2, "axis"), "Split": (0, "axis")}
"""Operands that say how: their place, and the attribute that they become."""
_OMITTED = {"ConcatV2": -1, "GatherV2": 2}
"""Those of them that are no operand of a node, as the language of operations has it."""
_KERNELS = {"Conv2D": 1, "DepthwiseConv2dNative": 1, "Conv3D": 1, "Conv2DBackpropInput": 1}
_LONGEST = 64
"""Elements of a constant operand that is shown as an attribute: axes, sizes, paddings."""
_SLIDING = frozenset({"strides", "dilations", "kernel"})


def is_setting(op: Any, place: int) -> bool:
    """Whether an operand only says how, in an attribute."""
    omitted = _OMITTED.get(op.type)
    return omitted is not None and place == omitted % len(op.inputs)


def attributes_of(flow: Dataflow, op: Any) -> dict[str, Attribute]:
    """What is said in attributes, in constant operands and by the shapes."""
    found: dict[str, Attribute] = {}
    first = _channels_first(op)
    for name in op.node_def.attr:
        word = _RENAMED.get(name, name)
        if name not in _KEPT and name not in _RENAMED:
            continue
        value = _plain(op.get_attr(name))
        if word in _SLIDING and isinstance(value, tuple):
            value = value[2:] if first else value[1:-1]
        if value is not None and value != ():
            found[word] = value
    found.update(_from_operands(flow, op))
    if first is not None:
        found["channels"] = "first" if first else "last"
    if "strides" in found and ("kernel" in found or op.type in _KERNELS):
        found.update(_window(op, found, first=bool(first)))
    if op.type in ("Softmax", "LogSoftmax"):
        found["axis"] = -1
    return found


def _channels_first(op: Any) -> bool | None:
    """None where an operation knows nothing of channels."""
    if "data_format" not in op.node_def.attr:
        return None
    return bool(op.get_attr("data_format").startswith(b"NC"))


def _plain(value: Any) -> Attribute:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return tuple(_plain(one) for one in value[:_LONGEST])
    name = getattr(value, "name", None)  # a dtype
    return name if isinstance(name, str) else None


def _from_operands(flow: Dataflow, op: Any) -> dict[str, Attribute]:
    """Constants that TFLite's attributes take from the same places, and the axes that it has as options."""
    found: dict[str, Attribute] = {}
    told = (*LITE_OPERANDS.get(LITE_WORDS.get(op.type, ""), ()), _SETTINGS.get(op.type))
    for place, name in filter(None, told):
        if not -len(op.inputs) <= place < len(op.inputs):
            continue
        array = flow.constant(op.inputs[place])
        if array is None or array.size > _LONGEST:
            continue
        single = name in {"axis", "k", "depth", "value"} and array.size == 1
        content: Any = array.reshape(-1)[0].item() if single else array.tolist()
        found[name] = _nested([content] if name == "axes" and not isinstance(content, list) else content)
    return found


def _nested(value: Any) -> Any:
    return tuple(_nested(one) for one in value) if isinstance(value, list) else value


def _window(op: Any, said: dict[str, Any], *, first: bool) -> dict[str, Attribute]:
    """Kernel and groups by the weight's shape, and SAME in numbers where sizes are known."""
    found: dict[str, Attribute] = {}
    kernel = said.get("kernel")
    backwards = op.type == "Conv2DBackpropInput"
    shown = op.outputs[0] if backwards else op.inputs[0]
    shape = [None] * 4 if shown.shape.rank is None else shown.shape.as_list()
    if kernel is None and op.inputs[_KERNELS[op.type]].shape.is_fully_defined():
        sizes = op.inputs[_KERNELS[op.type]].shape.as_list()
        kernel = found["kernel"] = tuple(sizes[:-2])
        channels = shape[1] if first else shape[-1]
        if op.type == "DepthwiseConv2dNative":
            found["groups"] = sizes[-2]
        elif channels and sizes[-2] and not backwards:
            found["groups"] = channels // sizes[-2]
    padding, strides = said.get("padding"), said["strides"]
    dilations = said.get("dilations") or (1,) * len(strides)
    spatial = shape[2:] if first else shape[1:-1]
    if padding == "EXPLICIT":
        amounts = list(op.get_attr("explicit_paddings"))
        pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
        found["pads"] = tuple(pairs[2:] if first else pairs[1:-1])
    elif padding == "VALID":
        found["pads"] = ((0, 0),) * len(strides)
    elif kernel is not None and None not in spatial:
        found["pads"] = same_pads(spatial, kernel, strides, dilations, upper=True)
    return found
