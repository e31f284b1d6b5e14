"""Pooling: windows with explicit padding, ceil mode, divisors; adaptive and global forms."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from aligner.operations.operation import Operation, Unsupported, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import AdaptivePool, LengthPool, Pool
from aligner.records.array import Array


@computes_by(Pool, "max_pool", "avg_pool", "length_pool")
def pool(operation: Operation, settings: Pool) -> Array:
    """A window that would start in the padding at the end is dropped, as PyTorch and ONNX do in ceil mode."""
    average = operation.kind == "avg_pool"
    x = wide(channels_first(operation.data[0], settings.channels))
    order = settings.order if isinstance(settings, LengthPool) else None
    x = x if order is None else np.abs(x) ** order
    rank = len(settings.kernel)
    lead = x.ndim - rank
    sizes = tuple(_size(x.shape[lead + i], settings, i) for i in range(rank))
    if min(sizes) < 1:
        raise Unsupported("sizes that make no pool")
    reach = [
        (size - 1) * stride + (length - 1) * dilation + 1
        for size, stride, length, dilation in zip(
            sizes, settings.strides, settings.kernel, settings.dilations, strict=True
        )
    ]
    amounts = [(0, 0)] * lead
    for i, (begin, end) in enumerate(settings.pads):
        amounts.append((begin, max(end, reach[i] - begin - x.shape[lead + i])))
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    fill = settings.fill
    if fill is None:
        fill = lowest if operation.kind == "max_pool" else 0.0
    source = np.pad(x, amounts, constant_values=fill)
    result: Array | None = None
    counted: Array | float = 0.0
    mask = _counted(x.shape[lead:], settings, amounts[lead:]) if average else None
    for place in product(*(range(length) for length in settings.kernel)):
        window: Any = tuple(
            slice(p * d, p * d + (size - 1) * s + 1, s)
            for p, d, s, size in zip(place, settings.dilations, settings.strides, sizes, strict=True)
        )
        at: Any = (..., *window)
        part = source[at]
        if average:
            assert mask is not None
            counted = counted + mask[window]
            result = part.copy() if result is None else result + part
        elif result is None:
            result = part.copy()
        else:
            result = np.maximum(result, part) if order is None else result + part
    assert result is not None
    if average:
        result = result / (settings.divisor or counted)
    result = result if order is None else result ** (1 / order)
    return channels_back(result, settings.channels)


def _size(size: int, settings: Pool, axis: int) -> int:
    begin, end = settings.pads[axis]
    stride = settings.strides[axis]
    span = size + begin + end - (settings.kernel[axis] - 1) * settings.dilations[axis] - 1
    count = (-(-span // stride) if settings.ceil else span // stride) + 1
    if settings.ceil and (count - 1) * stride >= size + begin:
        count -= 1
    return int(count)


def _counted(sizes: tuple[int, ...], settings: Pool, amounts: Any) -> Array:
    """1 where an element counts towards the divisor: inside, and in the declared padding if that is included."""
    inside = np.ones(sizes)
    if settings.include_pad:
        inside = np.pad(inside, settings.pads, constant_values=1.0)
        extra = [(0, max(have - end, 0)) for (_, have), (_, end) in zip(amounts, settings.pads, strict=True)]
        return np.pad(inside, extra)
    return np.pad(inside, amounts)


@computes_by(AdaptivePool, "adaptive_max_pool", "adaptive_avg_pool")
def adaptive_pool(operation: Operation, settings: AdaptivePool) -> Array:
    """Windows floor(i·n / m) … ceil((i + 1)·n / m)."""
    x = wide(channels_first(operation.data[0], settings.channels))
    wanted = settings.output_size
    lead = x.ndim - len(wanted)
    for axis, count in enumerate(wanted, start=lead):
        size = x.shape[axis]
        parts = []
        for i in range(count):
            window = np.take(x, range(i * size // count, math.ceil((i + 1) * size / count)), axis=axis)
            parts.append(window.mean(axis=axis) if "avg" in operation.kind else window.max(axis=axis))
        x = np.stack(parts, axis=axis)
    return channels_back(x, settings.channels)
