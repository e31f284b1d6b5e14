"""Convolutions and pools: kernels are brought into the order [out, in / groups, *spatial]."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import convolution, transposed_convolution
from aligner.operations.operation import Operation
from aligner.operations.settings import Pool
from aligner.operations.window import Window, missing, spread, window_of
from aligner.records.array import Array


def _window(call: Call, sizes: Sequence[int], kernel: tuple[int, ...]) -> Window:
    """``sizes`` are those of the tensor that SAME speaks of."""
    return window_of(call, sizes, kernel, call.text("padding", ""))


def _conv(call: Call, kernel: Array) -> Operation:
    x = call.need(0)
    window, groups = _window(call, x.shape[1:-1], kernel.shape[2:]), max(x.shape[-1] // kernel.shape[1], 1)
    return convolution(x, kernel, call.operand(2), window, groups, "last")


def _conv_2d(call: Call) -> Operation:
    """Filters [out, height, width, in / groups]."""
    return _conv(call, call.need(1).transpose(0, 3, 1, 2))


def _depthwise(call: Call) -> Operation:
    """Filters [1, height, width, out]."""
    return _conv(call, call.need(1).transpose(3, 0, 1, 2))


def _conv_3d(call: Call) -> Operation:
    """Filters [depth, height, width, in / groups, out]."""
    return _conv(call, call.need(1).transpose(4, 3, 0, 1, 2))


def _transpose_conv(call: Call) -> Operation:
    """Operands shape of the result, filters [out, height, width, in], input, bias."""
    kernel, x = call.need(1).transpose(3, 0, 1, 2), call.need(2)
    shape = call.integers(0) or call.need_shape()
    window = _window(call, shape[1:-1], kernel.shape[2:])
    extra = missing(call, x.shape[1:-1], shape[1:-1], kernel.shape[2:], window)
    return transposed_convolution(x, kernel, call.operand(3), window, extra, channels="last")


def _pool(call: Call) -> Operation:
    x = call.need(0)
    kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
    if not all(kernel):
        raise call.unknown("a pool without a kernel")
    window = _window(call, x.shape[1:-1], kernel)
    settings = Pool(
        kernel=kernel, strides=window.strides, dilations=window.dilations, pads=window.padding, channels="last"
    )
    return Operation("max_pool" if call.node.op == "MAX_POOL_2D" else "avg_pool", settings, (x,))


WORDS: Vocabulary = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _conv_3d,
    "TRANSPOSE_CONV": _transpose_conv,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
}
