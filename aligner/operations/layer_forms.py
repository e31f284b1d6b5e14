"""Translations of layers that frameworks share: windows, products, attention, normalisations, sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aligner.operations.call import Call, layer_parameters, norm_parameters
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Attention,
    Convolution,
    Einsum,
    GridSample,
    Norm,
    Product,
    ResponseNorm,
    Softmax,
    TransposedConvolution,
)
from aligner.operations.window import Window
from aligner.records.array import Array


def convolution(
    x: Array, kernel: Array, bias: Array | None, window: Window, groups: int, channels: str = "first"
) -> Operation:
    """A kernel [out, in / groups, *spatial]."""
    settings = Convolution(
        strides=window.strides, dilations=window.dilations, pads=window.padding, groups=groups, channels=channels
    )
    return Operation("conv", settings, (x,), layer_parameters(kernel, bias))


def transposed_convolution(
    x: Array,
    kernel: Array,
    bias: Array | None,
    window: Window,
    extra: tuple[int, ...],
    *,
    groups: int = 1,
    channels: str = "first",
) -> Operation:
    """A kernel [in, out / groups, *spatial]; ``extra`` is added at the end of each axis."""
    settings = TransposedConvolution(
        strides=window.strides,
        dilations=window.dilations,
        pads=window.padding,
        groups=groups,
        output_padding=extra,
        channels=channels,
    )
    return Operation("conv_transpose", settings, (x,), layer_parameters(kernel, bias))


def dense(x: Array, kernel: Array, bias: Array | None) -> Operation:
    """A layer of its framework: x · kernelᵀ + bias with a kernel [out, in]."""
    return Operation("matmul", Product(linear=True), (x,), layer_parameters(kernel, bias))


def product(
    left: Array, right: Array, *, stored: bool, turned: bool = False, scale: float = 1.0, bias: Array | None = None
) -> Operation:
    """left · right, or left · rightᵀ where ``turned``; a ``stored`` matrix is a kernel [out, in]."""
    settings, parameters = Product(scale=scale), {} if bias is None else {"bias": bias}
    if right.ndim == 2 and stored:
        return Operation("matmul", settings, (left,), parameters | {"kernel": right if turned else right.T})
    return Operation("matmul", settings, (left, right.swapaxes(-1, -2) if turned else right), parameters)


def matmul(call: Call, scale: float = 1.0, bias: Array | None = None) -> Operation:
    """Of two operands, either of which the node may transpose."""
    left, right = call.need(0), call.need(1)
    left = left.swapaxes(-1, -2) if call.flag("transpose_a") and left.ndim > 1 else left
    turned = call.flag("transpose_b") and right.ndim > 1
    return product(left, right, stored=call.is_constant(1), turned=turned, scale=scale, bias=bias)


def einsum(call: Call) -> Operation:
    """Of all operands, by the equation that the node says."""
    equation = call.attributes.get("equation", call.attributes.get("argument_0"))
    if not isinstance(equation, str):
        raise call.unknown("an unknown equation")
    return Operation("einsum", Einsum(equation=equation.replace(" ", "")), tuple(call.given))


def attention(
    operands: tuple[Array, Array, Array],
    mask: Array | None,
    scale: float | None,
    *,
    causal: bool,
    merged: bool = False,
) -> Operation:
    """Query, key, value [..., length, width]; without a scale 1 / √width."""
    scale = 1 / math.sqrt(operands[0].shape[-1]) if scale is None else scale
    settings = Attention(scale=scale, causal=causal, merged=merged)
    return Operation("attention", settings, operands, {} if mask is None else {"mask": mask})


def norm(call: Call, settings: Norm, places: Sequence[int] = (1, 2)) -> Operation:
    """Of operand 0, with scale, shift, mean and variance at these places."""
    return Operation("norm", settings, (call.need(0),), norm_parameters(*map(call.operand, places)))


def response_norm(call: Call, *, longer_before: bool = False) -> Operation:
    """Over neighbours among the channels; of an even number one more stands behind, or before."""
    size = call.integer("size")
    short, long = (size - 1) // 2, size // 2
    settings = ResponseNorm(
        neighbours=(long, short) if longer_before else (short, long),
        alpha=call.number("alpha", default=1e-4) / size,
        beta=call.number("beta", default=0.75),
        bias=call.number("bias", "k", default=1.0),
        channels="first",
    )
    return Operation("response_norm", settings, (call.need(0),))


def softmax(call: Call, default: int | None = None) -> Operation:
    """Along the axis that the node says; whether of logarithms, its kind says."""
    x = call.need(0)
    return Operation(call.node.kind, Softmax(axis=call.axis(x.ndim, default)), (x,))


_SAMPLED = {"bilinear": "linear", "bicubic": "cubic"}


def grid_sample(call: Call, mode: str, padding: str) -> Operation:
    """Operands input, grid."""
    settings = GridSample(
        mode=_SAMPLED.get(mode, mode),
        padding=padding,
        align_corners=call.flag("align_corners"),
        channels="first",
    )
    return Operation("grid_sample", settings, (call.need(0), call.need(1)))
