"""Activations and other functions of one element."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from aligner.operations.fused import sigmoid
from aligner.operations.operation import Operation, Unsupported, computes, computes_by, wide
from aligner.operations.settings import (
    Along,
    Approximated,
    Cast,
    Clip,
    Dequantize,
    HardSigmoid,
    Infinite,
    Quantize,
    Selu,
    Shrink,
    Slope,
    Softplus,
    Swish,
    Threshold,
)
from aligner.records.array import Array
from aligner.records.dtypes import plain_dtype


def erf(x: Array) -> Array:
    """The error function, to 1e-7 or better (numpy has none)."""
    if x.size <= 1 << 18:
        return np.vectorize(math.erf, otypes=[np.float64])(x) if x.size else x
    # Abramowitz and Stegun 7.1.26 is too coarse; interpolating a fine table is not
    grid = np.linspace(-6.0, 6.0, 1 << 17)
    table = np.vectorize(math.erf, otypes=[np.float64])(grid)
    return np.interp(x, grid, table)


_COMPUTED: dict[str, Callable[[Array], Array]] = {
    **{
        word: getattr(np, word)
        for word in (
            "tanh exp log sqrt abs floor ceil trunc square sin cos tan sinh cosh expm1 exp2 log1p log2 log10 sign cbrt "
            "isnan isinf isfinite"
        ).split()
    },
    "relu": lambda x: np.maximum(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": sigmoid,
    "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "neg": np.negative,
    "reciprocal": lambda x: 1 / x,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "round": np.rint,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "frac": lambda x: x - np.trunc(x),
    "erfc": lambda x: 1 - erf(x),
    "not": np.logical_not,
    "bitwise_not": np.invert,
    "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
    "tanhshrink": lambda x: x - np.tanh(x),
    "identity": lambda x: x,
}
"""Functions of one element that are told nothing."""
PLAIN = frozenset("relu relu6 sigmoid tanh softsign mish".split())
ACTIVATIONS = PLAIN | set("clip leaky_relu elu celu selu gelu silu hardsigmoid hardswish softplus".split())
"""Kinds of operation that models use for their nonlinearity."""


@computes(*_COMPUTED)
def activate(operation: Operation) -> Array:
    """The function, element by element."""
    return _COMPUTED[operation.kind](wide(operation.data[0]))


@computes_by(Clip, "clip")
def clip(operation: Operation, settings: Clip) -> Array:
    """Between two limits."""
    return np.clip(wide(operation.data[0]), settings.min, settings.max)


@computes_by(Slope, "leaky_relu", "elu", "celu")
def bend(operation: Operation, settings: Slope) -> Array:
    """x where positive; below a straight line, α (eˣ − 1), or α (e^(x/α) − 1)."""
    x, alpha = wide(operation.data[0]), settings.alpha
    if operation.kind == "leaky_relu":
        return np.where(x >= 0, x, x * alpha)
    width = alpha if operation.kind == "celu" else 1.0
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / width))


@computes_by(Selu, "selu")
def scaled_bend(operation: Operation, settings: Selu) -> Array:
    """scale · elu."""
    x = wide(operation.data[0])
    found: Array = settings.scale * np.where(x > 0, x, settings.alpha * np.expm1(np.minimum(x, 0)))
    return found


@computes_by(Approximated, "gelu", "erf")
def gaussian(operation: Operation, settings: Approximated) -> Array:
    """x · Φ(x), or erf(x); exactly, or by the cubic in a tangent, or by a sigmoid, that stand for them."""
    x = wide(operation.data[0])
    if operation.kind == "gelu" and settings.approximate == "quick":
        found: Array = x * sigmoid(1.702 * x)
        return found
    x = x * math.sqrt(2) if operation.kind == "erf" else x
    tanh = settings.approximate == "tanh"
    part: Array = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh else erf(x / math.sqrt(2))
    return part if operation.kind == "erf" else 0.5 * x * (1 + part)


@computes_by(Swish, "silu")
def swish(operation: Operation, settings: Swish) -> Array:
    """x · sigmoid(αx)."""
    x = wide(operation.data[0])
    return x * sigmoid(settings.alpha * x)


@computes_by(HardSigmoid, "hardsigmoid", "hardswish")
def hard_sigmoid(operation: Operation, settings: HardSigmoid) -> Array:
    """max(0, min(1, αx + β)), times x for a hard swish."""
    x = wide(operation.data[0])
    gate: Array = np.clip(settings.alpha * x + settings.beta, 0, 1)
    return x * gate if operation.kind == "hardswish" else gate


@computes_by(Softplus, "softplus")
def softplus(operation: Operation, settings: Softplus) -> Array:
    """log(1 + e^βx) / β."""
    x = wide(operation.data[0])
    soft: Array = np.logaddexp(0.0, settings.beta * x) / settings.beta
    return soft if settings.threshold is None else np.where(x * settings.beta > settings.threshold, x, soft)


@computes_by(Threshold, "threshold")
def above(operation: Operation, settings: Threshold) -> Array:
    """x above the threshold, else a value."""
    x = wide(operation.data[0])
    return np.where(x > settings.threshold, x, settings.value)


@computes_by(Shrink, "shrink")
def shrink(operation: Operation, settings: Shrink) -> Array:
    """0 near 0, else x moved towards it."""
    x = wide(operation.data[0])
    return np.where(np.abs(x) > settings.lambd, x - np.sign(x) * settings.bias, 0.0)


@computes_by(Infinite, "isinf_signed")
def infinite(operation: Operation, settings: Infinite) -> Array:
    """Infinities of the signs that count."""
    x = operation.data[0]
    found: Array = (settings.positive & np.isposinf(x)) | (settings.negative & np.isneginf(x))
    return found


@computes_by(Cast, "cast")
def cast(operation: Operation, settings: Cast) -> Array:
    """Only what changes numbers: narrower floats round, integers truncate."""
    word, x = plain_dtype(settings.to), operation.data[0]
    if word == "bfloat16":
        return to_bfloat16(x)
    try:
        return x.astype(np.dtype(word))
    except TypeError as exc:
        raise Unsupported(word) from exc


def to_bfloat16(x: Array) -> Array:
    """Rounded to bfloat16's grid, carried in float32."""
    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    result: Array = rounded.astype(np.uint32).view(np.float32)
    return result


@computes_by(Along, "prelu")
def prelu(operation: Operation, settings: Along) -> Array:
    """x where positive, slope · x elsewhere; a flat slope lies along the axis, another one broadcasts."""
    x, slope, axis = wide(operation.data[0]), operation.parameters["slope"], settings.axis
    if slope.size > 1 and slope.ndim <= 1:
        across = [1] * x.ndim
        across[axis] = slope.size
        slope = slope.reshape(across)
    elif slope.size == 1:
        slope = slope.reshape(())
    return np.where(x >= 0, x, x * slope)


@computes_by(Along, "glu")
def gated(operation: Operation, settings: Along) -> Array:
    """The first half along an axis, times the sigmoid of the second."""
    first, second = np.split(wide(operation.data[0]), 2, axis=settings.axis)
    return first * sigmoid(second)


@computes_by(Quantize, "quantize")
def quantize(operation: Operation, settings: Quantize) -> Array:
    """On the grid of scale and zero point, as real numbers, or as the stored ones where ``stored``."""
    parameters, x = operation.parameters, operation.data[0].astype(np.float64)
    scale, zero = (_across(parameters[name].astype(np.float64), x, settings.axis) for name in ("scale", "zero"))
    stored: Array = np.clip(np.rint(x / scale) + zero, *settings.limits)
    return stored if settings.stored else (stored - zero) * scale


@computes_by(Dequantize, "dequantize")
def dequantize(operation: Operation, settings: Dequantize) -> Array:
    """scale · (x − zero point)."""
    parameters, x = operation.parameters, operation.data[0].astype(np.float64)
    scale, zero = (_across(parameters[name].astype(np.float64), x, settings.axis) for name in ("scale", "zero"))
    return (x - zero) * scale


def _across(vector: Array, x: Array, axis: int | None) -> Array:
    if vector.ndim == x.ndim and axis is None:
        return vector  # blocks of each axis have theirs
    if vector.size == 1 or axis is None:
        return vector.reshape(())
    shape = [1] * x.ndim
    shape[axis] = vector.size
    return vector.reshape(shape)
