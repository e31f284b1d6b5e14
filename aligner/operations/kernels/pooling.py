"""Pooling: windows with explicit padding, ceil mode, divisors; adaptive and global forms."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from aligner.operations.kernels.convolution import _each, same_pads
from aligner.operations.operation import (
    Call,
    Operation,
    Unsupported,
    channels_back,
    channels_first,
    computes,
    reads,
    wide,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@reads("max_pool", "avg_pool")
def read_pool(call: Call) -> Operation:
    """Settings kernel, strides, pads, dilations, ceil, include_pad, divisor; or output_size of an adaptive pool."""
    x, word, attributes = call.need(0), call.word, call.attributes
    channels = str(attributes.get("channels") or call.channels)
    if "lp" in word or "fractional" in word or "qlinear" in word:
        raise Unsupported(call.node.op)
    if "global" in word or "adaptive" in word:
        size = attributes.get("output_size", 1) if "adaptive" in word else 1
        if not isinstance(size, (int, tuple)) and call.shape is not None:
            size = channels_first_shape(call.shape, channels)[2:]
        rank = x.ndim - 2
        sizes = size if isinstance(size, tuple) else (size,) * rank
        inner = channels_first(x, channels).shape[2:]
        given = tuple(n if isinstance(n, int) else m for n, m in zip(sizes, inner, strict=False))
        return Operation(f"adaptive_{call.node.kind}", {"output_size": given, "channels": channels}, (x,))
    return Operation(call.node.kind, _settings(call, x, channels), (x,))


def channels_first_shape(shape: tuple[int, ...], channels: str) -> tuple[int, ...]:
    """A shape with its channel axis second."""
    return (shape[0], shape[-1], *shape[1:-1]) if channels == "last" else shape


def _settings(call: Call, x: Array, channels: str) -> dict[str, Any]:
    attributes, digits = call.attributes, [int(c) for c in call.word if c in "123"]
    kernel: Any = attributes.get("kernel", attributes.get("argument_1"))
    rank = len(kernel) if isinstance(kernel, tuple) and len(kernel) > 1 else (digits[0] if digits else x.ndim - 2)
    kernel = _each(kernel, rank, 0)
    if not all(kernel):
        raise Unsupported("a pool without a kernel")
    default = kernel if "torch" in call.node.op or call.word.endswith("d") else (1,) * rank
    strides = attributes.get("strides", attributes.get("argument_2"))
    strides = _each(strides, rank, 1) if strides else default
    dilations = _each(attributes.get("dilations", attributes.get("argument_4")), rank, 1)
    pads: Any = attributes.get("pads")
    bound = attributes.get("argument_3")
    if isinstance(bound, (int, tuple)) and not isinstance(bound, bool):
        pads = tuple((p, p) for p in _each(bound, rank, 0))
    if not isinstance(pads, tuple) or len(pads) != rank:
        automatic = str(attributes.get("auto_pad", attributes.get("padding", ""))).upper()
        sizes = channels_first(x, channels).shape[2:]
        pads = (
            same_pads(sizes, kernel, strides, dilations, upper=automatic != "SAME_LOWER")
            if automatic.startswith("SAME")
            else ((0, 0),) * rank
        )
    return {
        "kernel": kernel,
        "strides": strides,
        "pads": tuple((int(b), int(e)) for b, e in pads),
        "dilations": dilations,
        "ceil": bool(attributes.get("ceil_mode", attributes.get("argument_5", False))),
        "include_pad": bool(attributes.get("count_include_pad", False)),
        "divisor": attributes.get("divisor_override") or None,
        "channels": channels,
    }


@computes("max_pool", "avg_pool")
def pool(operation: Operation) -> Array:
    """A window that would start in the padding at the end is dropped, as PyTorch and ONNX do in ceil mode."""
    import numpy as np

    settings, average = operation.settings, operation.kind == "avg_pool"
    x = wide(channels_first(operation.data[0], settings["channels"]))
    rank = len(settings["kernel"])
    lead = x.ndim - rank
    sizes = tuple(_size(x.shape[lead + i], settings, i) for i in range(rank))
    if min(sizes) < 1:
        raise Unsupported("sizes that make no pool")
    reach = [
        (size - 1) * stride + (length - 1) * dilation + 1
        for size, stride, length, dilation in zip(
            sizes, settings["strides"], settings["kernel"], settings["dilations"], strict=True
        )
    ]
    amounts = [(0, 0)] * lead
    for i, (begin, end) in enumerate(settings["pads"]):
        amounts.append((begin, max(end, reach[i] - begin - x.shape[lead + i])))
    fill = settings.get("fill", 0.0 if average else -np.inf)
    source = np.pad(x, amounts, constant_values=fill)
    result: Array | None = None
    counted: Array | float = 0.0
    mask = _counted(x.shape[lead:], settings, amounts[lead:]) if average else None
    for place in product(*(range(length) for length in settings["kernel"])):
        window: Any = tuple(
            slice(p * d, p * d + (size - 1) * s + 1, s)
            for p, d, s, size in zip(place, settings["dilations"], settings["strides"], sizes, strict=True)
        )
        at: Any = (..., *window)
        part = source[at]
        if average:
            assert mask is not None
            counted = counted + mask[window]
            result = part.copy() if result is None else result + part
        else:
            result = part.copy() if result is None else np.maximum(result, part)
    assert result is not None
    if average:
        result = result / (settings["divisor"] or counted)
    return channels_back(result, settings["channels"])


def _size(size: int, settings: Any, axis: int) -> int:
    begin, end = settings["pads"][axis]
    stride = settings["strides"][axis]
    span = size + begin + end - (settings["kernel"][axis] - 1) * settings["dilations"][axis] - 1
    count = (-(-span // stride) if settings["ceil"] else span // stride) + 1
    if settings["ceil"] and (count - 1) * stride >= size + begin:
        count -= 1
    return int(count)


def _counted(sizes: tuple[int, ...], settings: Any, amounts: Any) -> Array:
    """1 where an element counts towards the divisor: inside, and in the declared padding if that is included."""
    import numpy as np

    inside = np.ones(sizes)
    if settings["include_pad"]:
        inside = np.pad(inside, settings["pads"], constant_values=1.0)
        extra = [(0, max(have - end, 0)) for (_, have), (_, end) in zip(amounts, settings["pads"], strict=True)]
        return np.pad(inside, extra)
    return np.pad(inside, amounts)


@computes("adaptive_max_pool", "adaptive_avg_pool")
def adaptive_pool(operation: Operation) -> Array:
    """Windows floor(i·n / m) … ceil((i + 1)·n / m)."""
    import numpy as np

    settings = operation.settings
    x = wide(channels_first(operation.data[0], settings["channels"]))
    wanted = settings["output_size"]
    lead = x.ndim - len(wanted)
    for axis, count in enumerate(wanted, start=lead):
        size = x.shape[axis]
        parts = []
        for i in range(count):
            window = np.take(x, range(i * size // count, math.ceil((i + 1) * size / count)), axis=axis)
            parts.append(window.mean(axis=axis) if "avg" in operation.kind else window.max(axis=axis))
        x = np.stack(parts, axis=axis)
    return channels_back(x, settings["channels"])
