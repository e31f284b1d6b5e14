"""Convolutions and pools: kernels [out, in / groups, *spatial], explicit padding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aligner.operations.call import Call, Vocabulary, layer_parameters
from aligner.operations.operation import Operation
from aligner.operations.settings import AdaptivePool, Convolution, Pool, Reduce, TransposedConvolution
from aligner.operations.window import Window, spread, window_of
from aligner.records.array import Array

if TYPE_CHECKING:
    Pairs = tuple[tuple[int, int], ...]


def _conv(call: Call) -> Operation:
    if call.operand(3) is not None and "Fused" in call.node.op:
        raise call.unknown("a sum fused in")
    return conv(call, call.need(0), call.need(1), call.operand(2))


def conv(call: Call, x: Array, kernel: Array, bias: Array | None) -> Operation:
    """A convolution of a kernel in ONNX's order, which is the common one."""
    window = _window(call, x, kernel.shape[2:])
    settings = Convolution(
        strides=window.strides,
        dilations=window.dilations,
        pads=window.padding,
        groups=call.integer("groups", default=1),
        channels="first",
    )
    return Operation("conv", settings, (x,), layer_parameters(kernel, bias))


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> Window:
    automatic = call.text("auto_pad", "notset")
    found = window_of(call, x.shape[2:], kernel, automatic)
    if found.pads is None and (call.attributes.get("pads") or automatic not in {"notset", "valid"}):
        raise call.unknown("padding of unknown amount")
    return found


def _conv_transpose(call: Call) -> Operation:
    x, kernel, rank = call.need(0), call.need(1), call.need(1).ndim - 2
    window, extra = _window(call, x, kernel.shape[2:]), spread(call.attributes.get("output_padding"), rank, 0)
    pads = window.padding
    if call.attributes.get("auto_pad") or call.attributes.get("output_shape"):
        pads = _cropping(call, x, kernel.shape[2:], window, extra)
    settings = TransposedConvolution(
        strides=window.strides,
        dilations=window.dilations,
        pads=pads,
        groups=call.integer("groups", default=1),
        output_padding=extra,
        channels="first",
    )
    return Operation("conv_transpose", settings, (x,), layer_parameters(kernel, call.operand(2)))


def _cropping(call: Call, x: Array, kernel: tuple[int, ...], window: Window, extra: tuple[int, ...]) -> Pairs:
    """What is cropped, so that the result has the shape it was seen to have."""
    pads, automatic = [], call.text("auto_pad", "notset")
    axes = zip(x.shape[2:], kernel, window.strides, window.dilations, extra, call.need_shape()[2:], strict=True)
    for size, length, stride, dilation, more, wanted in axes:
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
    window = _window(call, x, kernel)
    settings = Pool(
        kernel=kernel,
        strides=window.strides,
        dilations=window.dilations,
        pads=window.padding,
        ceil=call.flag("ceil_mode"),
        include_pad=call.flag("count_include_pad"),
        channels="first",
    )
    if call.node.op == "LpPool":
        return Operation("length_pool", {**settings, "order": call.integer("p", default=2)}, (x,))
    return Operation("max_pool" if call.node.op == "MaxPool" else "avg_pool", settings, (x,))


def _global_pool(call: Call) -> Operation:
    x = call.need(0)
    kind = "adaptive_max_pool" if call.node.op == "GlobalMaxPool" else "adaptive_avg_pool"
    return Operation(kind, AdaptivePool(output_size=(1,) * (x.ndim - 2), channels="first"), (x,))


def _global_length(call: Call) -> Operation:
    x = call.need(0)
    if call.integer("p", default=2) not in {1, 2}:
        raise call.unknown("an order other than 1 and 2")
    form = "l1" if call.integer("p", default=2) == 1 else "l2"
    return Operation("reduce", Reduce(form=form, axes=tuple(range(2, x.ndim)), keep=True, correction=1.0), (x,))


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
