"""Convolutions and pools: kernels are brought into the order [out, in / groups, *spatial]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation
from aligner.operations.settings import Pool
from aligner.operations.window import Window, missing, spread, window_of
from aligner.records.array import Array


def _spatial(call: Call, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[2:] if call.channels == "first" else shape[1:-1])


def _window(call: Call, shape: Sequence[int], kernel: tuple[int, ...]) -> Window:
    """``shape`` is that of the tensor that SAME speaks of."""
    return window_of(call, _spatial(call, shape), kernel, call.text("padding", ""))


def _conv(call: Call, kernel: Array) -> Operation:
    x = call.need(0)
    window = _window(call, x.shape, kernel.shape[2:])
    channels = x.shape[1] if call.channels == "first" else x.shape[-1]
    return convolution(x, kernel, None, window, max(channels // kernel.shape[1], 1), call.channels)


def _conv_2d(call: Call) -> Operation:
    """Filters [height, width, in / groups, out]."""
    return _conv(call, call.need(1).transpose(3, 2, 0, 1))


def _depthwise(call: Call) -> Operation:
    """Filters [height, width, in, multiplier]."""
    kernel = call.need(1)
    height, width = kernel.shape[:2]
    return _conv(call, kernel.reshape(height, width, -1, 1).transpose(2, 3, 0, 1))


def _conv_2d_transposed(call: Call) -> Operation:
    """Operands shape of the result, filters [height, width, out, in], input."""
    kernel, x = call.need(1).transpose(3, 2, 0, 1), call.need(2)
    shape = call.integers(0) or call.need_shape()
    shape = call.need_shape() if len(shape) != x.ndim else shape
    window = _window(call, shape, kernel.shape[2:])
    if set(window.dilations) != {1}:
        raise call.unknown("dilations")
    extra = missing(call, _spatial(call, x.shape), _spatial(call, shape), kernel.shape[2:], window)
    return transposed_convolution(x, kernel, None, window, extra, channels=call.channels)


def _pool(kind: str) -> Any:
    def translate(call: Call) -> Operation:
        x = call.need(0)
        kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
        window = _window(call, x.shape, kernel)
        settings = Pool(
            kernel=kernel,
            strides=window.strides,
            dilations=window.dilations,
            pads=window.padding,
            channels=call.channels,
        )
        return Operation(kind, settings, (x,))

    return translate


WORDS: Vocabulary = {
    "Conv2D": _conv_2d,
    "DepthwiseConv2dNative": _depthwise,
    "Conv2DBackpropInput": _conv_2d_transposed,
    **dict.fromkeys(("MaxPool", "MaxPoolV2", "MaxPool3D"), _pool("max_pool")),
    **dict.fromkeys(("AvgPool", "AvgPool3D"), _pool("avg_pool")),
}
