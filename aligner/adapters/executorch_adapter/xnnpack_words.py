"""XNNPACK's nodes in neutral words: windows and channels last, stored matrices [out, in]."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.adapters.executorch_adapter.xnnpack_graph import OPERANDS
from aligner.operations.call import Call, Vocabulary, kind_said, of_kind, with_fused_activation
from aligner.operations.forms import (
    concatenation,
    gelu,
    of_one,
    of_two,
    prelu,
    quotient,
    reduced,
    reshaped,
    transposed,
    with_constants,
)
from aligner.operations.layer_forms import convolution, dense, matmul, transposed_convolution
from aligner.operations.operation import Operation
from aligner.operations.settings import Clip, HardSigmoid, Pad, Pool, Resize, Slice, Softmax
from aligner.operations.window import missing, window_of

_TURNED, _TURNED_FIRST, _LEGACY, _CORNERS = 1, 2, 4, 8
"""XNN_FLAG_TRANSPOSE_WEIGHTS and _B, XNN_FLAG_TRANSPOSE_A, XNN_FLAG_TENSORFLOW_LEGACY_MODE and _SAME_PADDING,
XNN_FLAG_ALIGN_CORNERS (utils/xnnpack_constants.py)."""
_FUSED = {(0.0, float("inf")): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "relu_n1_to_1"}
_RENAMED = {"num_dims": "", "debug_handle": "", "output_id": "", "flags": "", "negative_slope": "alpha"}


def attributes_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Under the names of ``records.graph``; a clamp's limits as ``min`` and ``max``, others' as what is fused."""
    word, said = node["xnode_union_type"], node["xnode_union"]
    found: dict[str, Any] = {}
    if "subsampling_height" in said or "stride_height" in said:
        found |= _window(said)
    own = (name for name in said if not name.startswith("padding_") and not name.endswith(("_height", "_width")))
    for name in own:
        plain = _RENAMED.get(name, "" if name in OPERANDS else name)
        if plain:
            found[plain] = tuple(said[name]) if isinstance(said[name], list) else said[name]
    found |= _flags(word, said["flags"])
    if word == "XNNStaticConstantPad":
        found |= {"mode": "constant", "value": float(said["padding_value"])}
        found["pads"] = tuple(zip(found.pop("pre_paddings"), found.pop("post_paddings"), strict=True))
    if word == "XNNSoftmax":
        found["axis"] = -1
    limits = node.get("output_min_max")
    if limits is not None:
        low, high = float(limits["output_min"]), float(limits["output_max"])
        fused = {"min": low, "max": high}
        found |= fused if word == "XNNClamp" else {"fused_activation": _FUSED.get((low, high), "unknown")}
    return found


def _window(said: Mapping[str, Any]) -> dict[str, Any]:
    def both(name: str) -> tuple[int, int]:
        return said[f"{name}_height"], said[f"{name}_width"]

    pools = "stride_height" in said
    found: dict[str, Any] = {
        "strides": both("stride" if pools else "subsampling"),
        "dilations": tuple(max(one, 1) for one in both("dilation")),  # what has none says 0
        "kernel": both("pooling" if pools else "kernel"),
        "pads": tuple(
            (said[f"padding_{one}"], said[f"padding_{other}"])
            for one, other in ("top bottom".split(), "left right".split())
        ),
        "channels": "last",
    }
    return found


def _flags(word: str, flags: int) -> dict[str, Any]:
    if word == "XNNStaticResizeBilinear2D":
        places = "align_corners" if flags & _CORNERS else "asymmetric" if flags & _LEGACY else "half_pixel"
        return {"mode": "linear", "coordinates": places, "channels": "last"}
    if word == "XNNFullyConnected":
        return {"transpose_b": not flags & _TURNED}
    if word == "XNNBatchMatrixMultiply":
        return {"transpose_a": bool(flags & _TURNED_FIRST), "transpose_b": bool(flags & _TURNED)}
    return {}


def kind_of(node: Mapping[str, Any]) -> str:
    """The neutral kind; a clamp goes by its limits."""
    if node["xnode_union_type"] == "XNNClamp" and node.get("output_min_max"):
        limits = (float(node["output_min_max"]["output_min"]), float(node["output_min_max"]["output_max"]))
        return {"relu": "relu", "relu6": "relu6"}.get(_FUSED.get(limits, ""), "clip")
    return kind_said(WORDS, str(node["xnode_union_type"]), "opaque")


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    return with_fused_activation(WORDS[call.node.op](call), call)


@of_kind("conv")
def _conv(call: Call) -> Operation:
    """Filters [out, height, width, in / groups], of a depthwise one [1, height, width, out]."""
    x, stored = call.need(0), call.need(1)
    deep = call.node.op == "XNNDepthwiseConv2d"
    kernel = stored.transpose(3, 0, 1, 2) if deep else stored.transpose(0, 3, 1, 2)
    window = window_of(call, x.shape[1:-1], kernel.shape[2:], "")
    return convolution(x, kernel, call.operand(2), window, x.shape[-1] // kernel.shape[1], "last")


@of_kind("conv_transpose")
def _conv_transpose(call: Call) -> Operation:
    """Filters [out, height, width, in / groups]."""
    x, stored, groups = call.need(0), call.need(1), call.integer("groups", default=1)
    outs, height, width, ins = stored.shape
    apart = stored.reshape(groups, outs // groups, height, width, ins).transpose(0, 4, 1, 2, 3)
    kernel = apart.reshape(groups * ins, outs // groups, height, width)
    window = window_of(call, x.shape[1:-1], kernel.shape[2:], "")
    extra = missing(call, x.shape[1:-1], call.need_shape()[1:-1], kernel.shape[2:], window)
    return transposed_convolution(x, kernel, call.operand(2), window, extra, groups=groups, channels="last")


def _pool(call: Call) -> Operation:
    x, kernel = call.need(0), tuple(call.numbers("kernel") or ())
    window = window_of(call, x.shape[1:-1], kernel, "")
    settings = Pool(
        kernel=kernel, strides=window.strides, dilations=window.dilations, pads=window.padding, channels="last"
    )
    return Operation("max_pool" if call.node.op == "XNNMaxPooling2d" else "avg_pool", settings, (x,))


@of_kind("matmul")
def _fully_connected(call: Call) -> Operation:
    if not call.is_constant(1):
        return matmul(call, bias=call.operand(2))
    kernel = call.need(1) if call.flag("transpose_b") else call.need(1).T
    return dense(call.need(0), kernel, call.operand(2))


@of_kind("resize")
def _resize(call: Call) -> Operation:
    places = call.text("coordinates", "half_pixel")
    settings = Resize(
        mode="linear", coordinates=places, rounding="round_prefer_ceil", shape=call.need_shape(), channels="last"
    )
    return Operation("resize", settings, (call.need(0),))


@of_kind("slice")
def _slice(call: Call) -> Operation:
    begins, sizes = call.numbers("offsets") or (), call.numbers("sizes") or ()
    places = tuple((axis, b, b + n, 1) for axis, (b, n) in enumerate(zip(begins, sizes, strict=True)))
    return Operation("slice", Slice(places=places), (call.need(0),))


@of_kind("pad")
def _pad(call: Call) -> Operation:
    pads: Any = call.attributes["pads"]
    return Operation("pad", Pad(pads=pads, mode="constant", value=call.number("value", default=0.0)), (call.need(0),))


def _clamp(call: Call) -> Operation:
    if call.node.kind in ("relu", "relu6"):
        return Operation(call.node.kind, {}, (call.need(0),))
    low, high = call.number("min", default=-float("inf")), call.number("max", default=float("inf"))
    return Operation("clip", Clip(min=low, max=high), (call.need(0),))


@of_kind("softmax")
def _softmax(call: Call) -> Operation:
    return Operation("softmax", Softmax(axis=call.need(0).ndim - 1, beta=1.0), (call.need(0),))


_ONE = "Sigmoid Tanh Abs Floor Square Exp Log Sin Cos"
WORDS: Vocabulary = {
    **dict.fromkeys(("XNNConv2d", "XNNDepthwiseConv2d"), _conv),
    "XNNConvTranspose2d": _conv_transpose,
    "XNNMaxPooling2d": of_kind("max_pool")(_pool),
    "XNNAvgPooling2d": of_kind("avg_pool")(_pool),
    "XNNGlobalAvgPooling2d": of_kind("reduce")(lambda call: reduced(call.need(0), "mean", (1, 2), keep=True)),
    "XNNFullyConnected": _fully_connected,
    "XNNBatchMatrixMultiply": of_kind("matmul")(matmul),
    "XNNStaticResizeBilinear2D": _resize,
    "XNNStaticSlice": _slice,
    "XNNStaticConstantPad": _pad,
    "XNNStaticTranspose": of_kind("transpose")(lambda call: transposed(call.need(0), call.numbers("perm"))),
    "XNNStaticReshape": of_kind("reshape")(reshaped),
    **dict.fromkeys((f"XNNConcatenate{count}" for count in range(2, 6)), of_kind("concat")(concatenation(0))),
    "XNNSoftmax": _softmax,
    "XNNClamp": _clamp,
    "XNNGelu": of_kind("gelu")(lambda call: gelu(call.need(0), tanh=False)),
    "XNNHardswish": of_kind("hardswish")(
        lambda call: Operation("hardswish", HardSigmoid(alpha=1 / 6, beta=0.5), (call.need(0),))
    ),
    "XNNELU": with_constants("elu", alpha=1.0),
    "XNNLeakyReLU": with_constants("leaky_relu", alpha=0.0),
    "XNNPReLU": of_kind("prelu")(lambda call: prelu(call.need(0), call.need(1), call.need(0).ndim - 1)),
    **of_one({f"XNN{word}": word.lower() for word in _ONE.split()}),
    **of_one({"XNNSquareRoot": "sqrt", "XNNReciprocalSquareRoot": "rsqrt", "XNNCeiling": "ceil"}),
    **of_one({"XNNNegate": "neg", "XNNCopy": "identity"}),
    **of_two({"XNNAdd": "add", "XNNSubtract": "sub", "XNNMultiply": "mul"}),
    **of_two({"XNNMinimum": "minimum", "XNNMaximum": "maximum"}),
    "XNNDiv": of_kind("div")(quotient),
}
