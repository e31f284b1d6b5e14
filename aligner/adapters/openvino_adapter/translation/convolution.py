"""Convolutions and pools: kernels [out, in / groups, *spatial], explicit padding."""

from __future__ import annotations

from dataclasses import replace

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation
from aligner.operations.settings import AdaptivePool, Pool
from aligner.operations.window import Window, cropping, spread, window_of
from aligner.records.array import Array


def _window(call: Call, x: Array, kernel: tuple[int, ...]) -> Window:
    return window_of(call, x.shape[2:], kernel, call.text("auto_pad", "explicit"))


def _kernel(call: Call, grouped: str) -> tuple[Array, int]:
    """The kernel with its groups, which have an axis of their own in front, counted into the next one."""
    kernel = call.need(1)
    if call.node.op != grouped:
        return kernel, 1
    return kernel.reshape(-1, *kernel.shape[2:]), kernel.shape[0]


def _conv(call: Call) -> Operation:
    kernel, groups = _kernel(call, "GroupConvolution")
    return convolution(call.need(0), kernel, None, _window(call, call.need(0), kernel.shape[2:]), groups)


def _conv_transpose(call: Call) -> Operation:
    """Kernels [in, out / groups, *spatial]; operand 2 is a wanted size, which padding then makes."""
    x = call.need(0)
    kernel, groups = _kernel(call, "GroupConvolutionBackpropData")
    window = _window(call, x, kernel.shape[2:])
    extra = spread(call.attributes.get("output_padding"), kernel.ndim - 2, 0)
    automatic = call.text("auto_pad", "explicit")
    if call.operand(2) is not None or automatic.startswith("same"):
        more_before = automatic == "same_upper"
        pads = cropping(call, x.shape[2:], kernel.shape[2:], window, extra, more_before=more_before)
        window = replace(window, pads=pads)
    return transposed_convolution(x, kernel, None, window, extra, groups=groups)


def _pool(call: Call) -> Operation:
    x = call.need(0)
    kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
    window = _window(call, x, kernel)
    settings = Pool(
        kernel=kernel,
        strides=window.strides,
        dilations=window.dilations,
        pads=window.padding,
        ceil=call.text("rounding_type", "floor") != "floor",
        include_pad=not call.flag("exclude-pad"),
        channels="first",
    )
    if call.text("rounding_type", "floor") == "ceil" and _begins_outside(x.shape[2:], settings):
        raise call.unknown("a window that begins in the padding at the end")
    return Operation("max_pool" if call.node.op == "MaxPool" else "avg_pool", settings, (x,))


def _begins_outside(sizes: tuple[int, ...], settings: Pool) -> bool:
    axes = zip(sizes, settings.kernel, settings.strides, settings.dilations, settings.pads, strict=True)
    return any(
        -(-(size + begin + end - (length - 1) * dilation - 1) // stride) * stride >= size + begin
        for size, length, stride, dilation, (begin, end) in axes
    )


def _adaptive_pool(call: Call) -> Operation:
    x, sizes = call.need(0), call.integers(1)
    settings = AdaptivePool(output_size=sizes or call.need_shape()[2:], channels="first")
    kind = "adaptive_max_pool" if call.node.op == "AdaptiveMaxPool" else "adaptive_avg_pool"
    return Operation(kind, settings, (x,))


WORDS: Vocabulary = {
    "Convolution": _conv,
    "GroupConvolution": _conv,
    "ConvolutionBackpropData": _conv_transpose,
    "GroupConvolutionBackpropData": _conv_transpose,
    "MaxPool": _pool,
    "AvgPool": _pool,
    "AdaptiveAvgPool": _adaptive_pool,
    "AdaptiveMaxPool": _adaptive_pool,
}
