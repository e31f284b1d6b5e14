"""Pooling: windows with explicit padding, ceil mode, divisors; adaptive and global forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from aligner.operations.kernels.convolution import windows
from aligner.operations.operation import Operation, Unsupported, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import AdaptivePool, LengthPool, Pool
from aligner.records.array import Array


@computes_by(Pool, "max_pool", "avg_pool", "length_pool")
def pool(operation: Operation, settings: Pool) -> Array:
    """A window that would start in the padding at the end is dropped, as PyTorch and ONNX do in ceil mode."""
    x = wide(channels_first(operation.data[0], settings.channels))
    order = settings.order if isinstance(settings, LengthPool) else None
    x = x if order is None else np.abs(x) ** order
    lead = x.ndim - len(settings.kernel)
    sizes = tuple(_size(size, settings, axis) for axis, size in enumerate(x.shape[lead:]))
    if min(sizes) < 1:
        raise Unsupported("sizes that make no pool")
    amounts = _amounts(x.shape[lead:], sizes, settings)
    source = np.pad(x, [(0, 0)] * lead + amounts, constant_values=_fill(operation.kind, settings, x))
    parts = (source[window] for _, window in windows(settings.kernel, settings, sizes))
    result: Array = reduce(np.maximum if operation.kind == "max_pool" else np.add, parts)
    if operation.kind == "avg_pool":
        mask = _counted(x.shape[lead:], settings, amounts)
        counted = sum(mask[window] for _, window in windows(settings.kernel, settings, sizes))
        result = result / (settings.divisor or counted)
    return channels_back(result if order is None else result ** (1 / order), settings.channels)


def _amounts(inner: Sequence[int], sizes: Sequence[int], settings: Pool) -> list[tuple[int, int]]:
    """The padding, at the end as much more as the last windows reach."""
    axes = zip(inner, sizes, settings.strides, settings.kernel, settings.dilations, settings.pads, strict=True)
    return [
        (begin, max(end, (count - 1) * stride + (length - 1) * dilation + 1 - begin - size))
        for size, count, stride, length, dilation, (begin, end) in axes
    ]


def _fill(kind: str, settings: Pool, x: Array) -> float:
    if settings.fill is not None:
        return settings.fill
    return 0.0 if kind != "max_pool" else -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min


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
