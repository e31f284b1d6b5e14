"""Convolutions and pools: kernels are brought into the order [out, in / groups, *spatial]."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary, pairs_of, same_pads, spread
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _window(call: Call, sizes: tuple[int, ...], kernel: tuple[int, ...]) -> dict[str, Any]:
    """Strides, dilations and padding; ``sizes`` are those of the tensor that SAME speaks of."""
    rank = len(kernel)
    strides, dilations = (spread(call.attributes.get(name), rank, 1) for name in ("strides", "dilations"))
    pads = pairs_of(call.attributes.get("pads"), rank)
    if pads is None and call.text("padding", "") == "same":
        pads = same_pads(sizes, kernel, strides, dilations, upper=True)
    return {"strides": strides, "dilations": dilations, "pads": pads or ((0, 0),) * rank, "channels": "last"}


def _parameters(kernel: Array, bias: Array | None) -> dict[str, Array]:
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(-1)}


def _conv(call: Call, kernel: Array) -> Operation:
    x = call.need(0)
    groups = max(x.shape[-1] // kernel.shape[1], 1)
    settings = _window(call, x.shape[1:-1], kernel.shape[2:]) | {"groups": groups}
    return Operation("conv", settings, (x,), _parameters(kernel, call.operand(2)))


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
    settings = _window(call, shape[1:-1], kernel.shape[2:])
    reached = [
        (size - 1) * stride + length
        for size, stride, length in zip(x.shape[1:-1], settings["strides"], kernel.shape[2:], strict=True)
    ]
    cropped = [full - begin - end for full, (begin, end) in zip(reached, settings["pads"], strict=True)]
    extra = tuple(wanted - found for wanted, found in zip(shape[1:-1], cropped, strict=True))
    if min(extra) < 0:
        raise call.unknown("a result shorter than its padding leaves")
    settings |= {"groups": 1, "output_padding": extra}
    return Operation("conv_transpose", settings, (x,), _parameters(kernel, call.operand(3)))


def _pool(call: Call) -> Operation:
    x = call.need(0)
    kernel = spread(call.attributes.get("kernel"), x.ndim - 2, 0)
    if not all(kernel):
        raise call.unknown("a pool without a kernel")
    settings = _window(call, x.shape[1:-1], kernel) | {
        "kernel": kernel,
        "ceil": False,
        "include_pad": False,
        "divisor": None,
    }
    return Operation("max_pool" if call.node.op == "MAX_POOL_2D" else "avg_pool", settings, (x,))


WORDS: Vocabulary = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "CONV_3D": _conv_3d,
    "TRANSPOSE_CONV": _transpose_conv,
    "MAX_POOL_2D": _pool,
    "AVERAGE_POOL_2D": _pool,
}
