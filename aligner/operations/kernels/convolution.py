"""Convolutions and transposed convolutions: one matrix product for each place of the kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from aligner.operations.kernels.products import matrix_product
from aligner.operations.operation import Operation, Unsupported, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import Convolution, TransposedConvolution, Windowed
from aligner.records.array import Array

LARGEST = 4e10
"""Multiplications up to which a convolution is recomputed: a few seconds."""


def windows(kernel: Sequence[int], settings: Windowed, sizes: Sequence[int]) -> Iterator[tuple[Any, Any]]:
    """Each place of a kernel, and what it meets where it goes to so many places: indices of the spatial axes."""
    for place in product(*map(range, kernel)):
        steps = zip(place, settings.dilations, settings.strides, sizes, strict=True)
        yield (..., *place), (..., *(slice(p * d, p * d + (size - 1) * s + 1, s) for p, d, s, size in steps))


@computes_by(Convolution, "conv")
def convolve(operation: Operation, settings: Convolution) -> Array:
    """Any rank, groups, dilations; negative padding crops."""
    kernel, x, groups = *_operands(operation, settings), settings.groups
    x = padded(x, settings.pads, settings.padding_mode)
    reach = [(length - 1) * d + 1 for length, d in zip(kernel.shape[2:], settings.dilations, strict=True)]
    sizes = [(size - far) // s + 1 for size, far, s in zip(x.shape[2:], reach, settings.strides, strict=True)]
    (n, c), out = x.shape[:2], kernel.shape[0]
    if min(sizes) < 1 or c != kernel.shape[1] * groups or out % groups:
        raise Unsupported("sizes that make no convolution")
    _check_size(n, kernel, sizes)
    result = np.zeros((n, groups, out // groups, math.prod(sizes)), dtype=np.result_type(x, kernel))
    x = x.reshape(n, groups, c // groups, *x.shape[2:])
    weight = kernel.reshape(groups, out // groups, c // groups, *kernel.shape[2:])
    for place, window in windows(kernel.shape[2:], settings, sizes):
        part, taps = x[window].reshape(n, groups, c // groups, -1), weight[place]
        result += taps[None, :, :, 0, None] * part if c == groups else matrix_product(taps[None], part)
    return _finished(result.reshape(n, out, *sizes), operation, settings)


@computes_by(TransposedConvolution, "conv_transpose")
def convolve_transposed(operation: Operation, settings: TransposedConvolution) -> Array:
    """Scatter each input element's kernel, then crop the padding."""
    kernel, x, groups = *_operands(operation, settings), settings.groups
    (n, c), sizes = x.shape[:2], x.shape[2:]
    inner, out = c // groups, kernel.shape[1] * groups
    if kernel.shape[0] != c:
        raise Unsupported("sizes that make no convolution")
    _check_size(n, kernel, sizes)
    steps = zip(sizes, settings.strides, kernel.shape[2:], settings.dilations, settings.output_padding, strict=True)
    full = [(size - 1) * s + (length - 1) * d + 1 + extra for size, s, length, d, extra in steps]
    result = np.zeros((n, groups, out // groups, *full), dtype=np.result_type(x, kernel))
    weight = kernel.reshape(groups, inner, out // groups, *kernel.shape[2:])
    flat = x.reshape(n, groups, inner, -1)
    for place, window in windows(kernel.shape[2:], settings, sizes):
        taps = weight[place].swapaxes(1, 2)
        result[window] += matrix_product(taps[None], flat).reshape(n, groups, out // groups, *sizes)
    inside: Any = (..., *(slice(begin, size - end) for size, (begin, end) in zip(full, settings.pads, strict=True)))
    return _finished(result.reshape(n, out, *full)[inside], operation, settings)


def _operands(operation: Operation, settings: Windowed) -> tuple[Array, Array]:
    """The kernel, and the input [batch, channels, *spatial], whose batch may have been left out."""
    kernel, x = wide(operation.parameters["kernel"]), wide(channels_first(operation.data[0], settings.channels))
    return kernel, x[None] if x.ndim == kernel.ndim - 1 else x


def _check_size(batch: int, kernel: Array, sizes: Sequence[int]) -> None:
    if batch * kernel.size * math.prod(sizes) > LARGEST:
        raise Unsupported("too large to recompute")


def _finished(result: Array, operation: Operation, settings: Windowed) -> Array:
    bias = operation.parameters.get("bias")
    if bias is not None:
        result = result + bias.reshape(1, -1, *(1,) * (result.ndim - 2))
    return channels_back(result[0] if operation.data[0].ndim < result.ndim else result, settings.channels)


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
