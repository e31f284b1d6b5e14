"""Convolutions and transposed convolutions: one matrix product for each place of the kernel."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np

from aligner.operations.operation import Operation, Unsupported, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import Convolution, TransposedConvolution
from aligner.records.array import Array

LARGEST = 4e10
"""Multiplications up to which a convolution is recomputed: a few seconds."""


_ALL = slice(None)


def _taps(weight: Array, place: Any) -> Array:
    at: Any = (_ALL, _ALL, _ALL, *place)
    taps: Array = weight[at]
    return taps


@computes_by(Convolution, "conv")
def convolve(operation: Operation, settings: Convolution) -> Array:
    """Any rank, groups, dilations; negative padding crops."""
    kernel = wide(operation.parameters["kernel"])
    x = wide(channels_first(operation.data[0], settings.channels))
    rank, groups = kernel.ndim - 2, settings.groups
    unbatched = x.ndim == rank + 1
    if unbatched:
        x = x[None]
    x = padded(x, settings.pads, settings.padding_mode)
    sizes = [
        (size - (length - 1) * dilation - 1) // stride + 1
        for size, length, dilation, stride in zip(
            x.shape[2:], kernel.shape[2:], settings.dilations, settings.strides, strict=True
        )
    ]
    n, c = x.shape[:2]
    out = kernel.shape[0]
    if min(sizes) < 1 or c != kernel.shape[1] * groups or out % groups:
        raise Unsupported("sizes that make no convolution")
    if n * kernel.size * math.prod(sizes) > LARGEST:
        raise Unsupported("too large to recompute")
    result = np.zeros((n, groups, out // groups, math.prod(sizes)), dtype=np.result_type(x, kernel))
    x = x.reshape(n, groups, c // groups, *x.shape[2:])
    weight = kernel.reshape(groups, out // groups, c // groups, *kernel.shape[2:])
    for place in product(*(range(length) for length in kernel.shape[2:])):
        window: Any = tuple(
            slice(p * d, p * d + (size - 1) * s + 1, s)
            for p, d, s, size in zip(place, settings.dilations, settings.strides, sizes, strict=True)
        )
        window = (_ALL, _ALL, _ALL, *window)
        part = x[window].reshape(n, groups, c // groups, -1)
        taps = _taps(weight, place)
        result += taps[None, :, :, 0, None] * part if c == groups else np.matmul(taps[None], part)
    result = result.reshape(n, out, *sizes)
    return _finished(result, operation, settings.channels, unbatched=unbatched)


@computes_by(TransposedConvolution, "conv_transpose")
def convolve_transposed(operation: Operation, settings: TransposedConvolution) -> Array:
    """Scatter each input element's kernel, then crop the padding."""
    kernel = wide(operation.parameters["kernel"])
    x = wide(channels_first(operation.data[0], settings.channels))
    rank, groups = kernel.ndim - 2, settings.groups
    unbatched = x.ndim == rank + 1
    if unbatched:
        x = x[None]
    n, c = x.shape[:2]
    inner, out = c // groups, kernel.shape[1] * groups
    if kernel.shape[0] != c:
        raise Unsupported("sizes that make no convolution")
    if n * kernel.size * math.prod(x.shape[2:]) > LARGEST:
        raise Unsupported("too large to recompute")
    full = [
        (size - 1) * s + (length - 1) * d + 1 + extra
        for size, s, length, d, extra in zip(
            x.shape[2:],
            settings.strides,
            kernel.shape[2:],
            settings.dilations,
            settings.output_padding,
            strict=True,
        )
    ]
    result = np.zeros((n, groups, out // groups, *full), dtype=np.result_type(x, kernel))
    weight = kernel.reshape(groups, inner, out // groups, *kernel.shape[2:])
    flat = x.reshape(n, groups, inner, -1)
    for place in product(*(range(length) for length in kernel.shape[2:])):
        taps = _taps(weight, place).swapaxes(1, 2)
        part = np.matmul(taps[None], flat).reshape(n, groups, out // groups, *x.shape[2:])
        window: Any = tuple(
            slice(p * d, p * d + (size - 1) * s + 1, s)
            for p, d, s, size in zip(place, settings.dilations, settings.strides, x.shape[2:], strict=True)
        )
        window = (_ALL, _ALL, _ALL, *window)
        result[window] += part
    result = result.reshape(n, out, *full)
    crop = tuple(slice(b, result.shape[2 + i] - e) for i, (b, e) in enumerate(settings.pads))
    inside: Any = (_ALL, _ALL, *crop)
    return _finished(result[inside], operation, settings.channels, unbatched=unbatched)


def _finished(result: Array, operation: Operation, channels: str, *, unbatched: bool) -> Array:
    bias = operation.parameters.get("bias")
    if bias is not None:
        result = result + bias.reshape(1, -1, *(1,) * (result.ndim - 2))
    return channels_back(result[0] if unbatched else result, channels)


_NUMPY_MODES = {"replicate": "edge", "edge": "edge", "reflect": "reflect", "circular": "wrap", "wrap": "wrap"}
_NUMPY_MODES["symmetric"] = "symmetric"


def padded(x: Array, pads: Any, mode: str = "constant", value: float = 0.0) -> Array:
    """Pad the last ``len(pads)`` axes; negative amounts crop."""
    lead = x.ndim - len(pads)
    crop: Any = (slice(None),) * lead + tuple(
        slice(max(-b, 0), x.shape[lead + i] - max(-e, 0)) for i, (b, e) in enumerate(pads)
    )
    x = x[crop]
    amounts = [(0, 0)] * lead + [(max(b, 0), max(e, 0)) for b, e in pads]
    if not any(b or e for b, e in amounts):
        return x
    if mode == "constant":
        result: Array = np.pad(x, amounts, constant_values=value)
        return result
    if mode not in _NUMPY_MODES:
        raise Unsupported(mode)
    return np.pad(x, amounts, mode=_NUMPY_MODES[mode])  # type: ignore[call-overload,no-any-return]
