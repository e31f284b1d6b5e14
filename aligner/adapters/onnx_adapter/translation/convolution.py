"""Convolutions and pools: kernels [out, in / groups, *spatial], explicit padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary, pairs_of, same_pads, spread
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _conv(call: Call) -> Operation:
    if call.operand(3) is not None and "Fused" in call.node.op:
        raise call.unknown("a sum fused in")
    return conv(call, call.need(0), call.need(1), call.operand(2))


def conv(call: Call, x: Array, kernel: Array, bias: Array | None) -> Operation:
    """A convolution of a kernel in ONNX's order, which is the common one."""
    settings = _window(call, x, kernel.shape[2:])
    settings |= {"groups": call.integer("groups", default=1), "channels": "first"}
    parameters = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(-1)}
    return Operation("conv", settings, (x,), parameters)


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> dict[str, Any]:
    rank = len(kernel)
    strides, dilations = (spread(call.attributes.get(name), rank, 1) for name in ("strides", "dilations"))
    pads = pairs_of(call.attributes.get("pads"), rank)
    automatic = call.text("auto_pad", "notset")
    if pads is None and automatic.startswith("same"):
        pads = same_pads(x.shape[2:], kernel, strides, dilations, upper=automatic == "same_upper")
    elif pads is None and (call.attributes.get("pads") or automatic not in {"notset", "valid"}):
        raise call.unknown("padding of unknown amount")
    return {"strides": strides, "dilations": dilations, "pads": pads or ((0, 0),) * rank}


def _conv_transpose(call: Call) -> Operation:
    x, kernel, bias = call.need(0), call.need(1), call.operand(2)
    settings, rank = _window(call, x, kernel.shape[2:]), kernel.ndim - 2
    extra = spread(call.attributes.get("output_padding"), rank, 0)
    if call.attributes.get("auto_pad") or call.attributes.get("output_shape"):
        settings["pads"] = _cropping(call, x, kernel.shape[2:], settings, extra)
    settings |= {"groups": call.integer("groups", default=1), "channels": "first", "output_padding": extra}
    parameters = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(-1)}
    return Operation("conv_transpose", settings, (x,), parameters)


def _cropping(call: Call, x: Array, kernel: tuple[int, ...], settings: dict[str, Any], extra: tuple[int, ...]) -> Any:
    """What is cropped, so that the result has the shape it was seen to have."""
    pads, automatic = [], call.text("auto_pad", "notset")
    window = zip(
        x.shape[2:], kernel, settings["strides"], settings["dilations"], extra, call.need_shape()[2:], strict=True
    )
    for size, length, stride, dilation, more, wanted in window:
        total = stride * (size - 1) + more + (length - 1) * dilation + 1 - wanted
        if total < 0:
            raise call.unknown("a result longer than the kernel reaches")
        small = total // 2
        pads.append((small, total - small) if automatic == "same_upper" else (total - small, small))
    return tuple(pads)


def _pool(call: Call) -> Operation:
    x = call.need(0)
    kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
    if not all(kernel):
        raise call.unknown("a pool without a kernel")
    settings = {
        "kernel": kernel,
        **_window(call, x, kernel),
        "ceil": call.flag("ceil_mode"),
        "include_pad": call.flag("count_include_pad"),
        "divisor": None,
        "channels": "first",
    }
    if call.node.op == "LpPool":
        return Operation("length_pool", settings | {"order": call.integer("p", default=2)}, (x,))
    return Operation("max_pool" if call.node.op == "MaxPool" else "avg_pool", settings, (x,))


def _global_pool(call: Call) -> Operation:
    x = call.need(0)
    kind = "adaptive_max_pool" if call.node.op == "GlobalMaxPool" else "adaptive_avg_pool"
    return Operation(kind, {"output_size": (1,) * (x.ndim - 2), "channels": "first"}, (x,))


def _global_length(call: Call) -> Operation:
    x = call.need(0)
    if call.integer("p", default=2) not in {1, 2}:
        raise call.unknown("an order other than 1 and 2")
    form = "l1" if call.integer("p", default=2) == 1 else "l2"
    return Operation("reduce", {"form": form, "axes": tuple(range(2, x.ndim)), "keep": True, "correction": 1.0}, (x,))


WORDS: Vocabulary = {
    "Conv": _conv,
    "com.microsoft::FusedConv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "LpPool": _pool,
    "GlobalMaxPool": _global_pool,
    "GlobalAveragePool": _global_pool,
    "GlobalLpPool": _global_length,
}
