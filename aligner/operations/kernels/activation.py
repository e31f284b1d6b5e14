"""Activations and other functions of one element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Operation, Unsupported, computes, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^−x)."""
    import numpy as np

    return 1 / (1 + np.exp(-x))


def erf(x: Array) -> Array:
    """The error function, to 1e-7 or better (numpy has none)."""
    import numpy as np

    if x.size <= 1 << 18:
        return np.vectorize(math.erf, otypes=[np.float64])(x) if x.size else x
    # Abramowitz and Stegun 7.1.26 is too coarse; interpolating a fine table is not
    grid = np.linspace(-6.0, 6.0, 1 << 17)
    table = np.vectorize(math.erf, otypes=[np.float64])(grid)
    return np.interp(x, grid, table)


def _gelu(x: Array, s: Any) -> Array:
    import numpy as np

    if s["approximate"] == "quick":
        return x * sigmoid(1.702 * x)
    tanh = s["approximate"] == "tanh"
    part: Array = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)) if tanh else erf(x / math.sqrt(2))
    result: Array = 0.5 * x * (1 + part)
    return result


def _erf(x: Array, s: Any) -> Array:
    """The error function, or the cubic in a tangent by which GELU approximates it."""
    import numpy as np

    if s.get("approximate") != "tanh":
        return erf(x)
    wide_x = x * math.sqrt(2)
    found: Array = np.tanh(math.sqrt(2 / math.pi) * (wide_x + 0.044715 * wide_x**3))
    return found


def _softplus(x: Array, s: Any) -> Array:
    import numpy as np

    soft = np.logaddexp(0.0, s["beta"] * x) / s["beta"]
    return np.where(x * s["beta"] > s["threshold"], x, soft) if s["threshold"] is not None else soft


def _plain() -> dict[str, Callable[[Array], Array]]:
    import numpy as np

    return {
        "relu": lambda x: np.maximum(x, 0),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "isnan": np.isnan,
        "relu6": lambda x: np.clip(x, 0, 6),
        "sigmoid": sigmoid,
        "tanh": np.tanh,
        "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        "exp": np.exp,
        "log": np.log,
        "sqrt": np.sqrt,
        "abs": np.abs,
        "neg": np.negative,
        "reciprocal": lambda x: 1 / x,
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "floor": np.floor,
        "ceil": np.ceil,
        "trunc": np.trunc,
        "round": np.rint,
        "square": np.square,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "expm1": np.expm1,
        "exp2": np.exp2,
        "log1p": np.log1p,
        "log2": np.log2,
        "log10": np.log10,
        "sign": np.sign,
        "cbrt": np.cbrt,
        "frac": lambda x: x - np.trunc(x),
        "erfc": lambda x: 1 - erf(x),
        "isinf": np.isinf,
        "isfinite": np.isfinite,
        "not": np.logical_not,
        "bitwise_not": np.invert,
        "log_sigmoid": lambda x: -np.logaddexp(0.0, -x),
        "tanhshrink": lambda x: x - np.tanh(x),
        "identity": lambda x: x,
    }


def _tuned() -> dict[str, Callable[[Array, Any], Array]]:
    import numpy as np

    return {
        "clip": lambda x, s: np.clip(x, s["min"], s["max"]),
        "leaky_relu": lambda x, s: np.where(x >= 0, x, x * s["alpha"]),
        "elu": lambda x, s: np.where(x > 0, x, s["alpha"] * np.expm1(np.minimum(x, 0))),
        "gelu": _gelu,
        "erf": _erf,
        "silu": lambda x, s: x * sigmoid(s.get("alpha", 1.0) * x),
        "celu": lambda x, s: np.maximum(x, 0) + np.minimum(0, s["alpha"] * np.expm1(np.minimum(x, 0) / s["alpha"])),
        "selu": lambda x, s: s["scale"] * np.where(x > 0, x, s["alpha"] * np.expm1(np.minimum(x, 0))),
        "threshold": lambda x, s: np.where(x > s["threshold"], x, s["value"]),
        "shrink": lambda x, s: np.where(np.abs(x) > s["lambd"], x - np.sign(x) * s["bias"], 0.0),
        "isinf_signed": lambda x, s: (s["positive"] & np.isposinf(x)) | (s["negative"] & np.isneginf(x)),
        "hardsigmoid": lambda x, s: np.clip(s["alpha"] * x + s["beta"], 0, 1),
        "hardswish": lambda x, s: x * np.clip(s["alpha"] * x + s["beta"], 0, 1),
        "softplus": _softplus,
    }


FUSED: dict[str, Callable[[Any], Any]] = {
    "relu": lambda x: x.clip(0),
    "relu6": lambda x: x.clip(0, 6),
    "relu_n1_to_1": lambda x: x.clip(-1, 1),
    "tanh": lambda x: 2 * sigmoid(2 * x) - 1,
    "none": lambda x: x,
}

ACTIVATIONS = frozenset(
    """relu relu6 clip leaky_relu elu celu selu gelu silu sigmoid tanh hardsigmoid hardswish softplus softsign
    mish""".split()
)
"""Kinds of operation that models use for their nonlinearity."""
FUNCTIONS = frozenset(
    """erf exp log sqrt abs neg identity reciprocal rsqrt floor ceil trunc round square sin cos isnan tan asin acos atan
    sinh cosh asinh acosh atanh expm1 exp2 log1p log2 log10 sign cbrt frac erfc isinf isfinite not bitwise_not
    log_sigmoid tanhshrink threshold shrink isinf_signed""".split()
)
"""Other functions of one element."""


@computes(*ACTIVATIONS, *FUNCTIONS)
def activate(operation: Operation) -> Array:
    """The function, element by element."""
    x, plain = wide(operation.data[0]), _plain().get(operation.kind)
    return plain(x) if plain is not None else _tuned()[operation.kind](x, operation.settings)


@computes("cast")
def cast(operation: Operation) -> Array:
    """Only what changes numbers: narrower floats round, integers truncate."""
    import numpy as np

    word = operation.settings["to"].removeprefix("torch.")
    names = {"float": "float32", "half": "float16", "double": "float64", "long": "int64", "int": "int32"}
    x = operation.data[0]
    if word == "bfloat16":
        return to_bfloat16(x)
    try:
        return x.astype(np.dtype(names.get(word, word)))
    except TypeError as exc:
        raise Unsupported(word) from exc


def to_bfloat16(x: Array) -> Array:
    """Rounded to bfloat16's grid, carried in float32."""
    import numpy as np

    bits = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    result: Array = rounded.astype(np.uint32).view(np.float32)
    return result


@computes("prelu")
def prelu(operation: Operation) -> Array:
    """x where positive, slope · x elsewhere; a flat slope lies along the axis, another one broadcasts."""
    import numpy as np

    x, slope, axis = wide(operation.data[0]), operation.parameters["slope"], operation.settings["axis"]
    if slope.size > 1 and slope.ndim <= 1:
        across = [1] * x.ndim
        across[axis] = slope.size
        slope = slope.reshape(across)
    elif slope.size == 1:
        slope = slope.reshape(())
    return np.where(x >= 0, x, x * slope)


@computes("glu")
def gated(operation: Operation) -> Array:
    """The first half along an axis, times the sigmoid of the second."""
    import numpy as np

    first, second = np.split(wide(operation.data[0]), 2, axis=operation.settings["axis"])
    return first * sigmoid(second)


@computes("quantize")
def quantize(operation: Operation) -> Array:
    """On the grid of scale and zero point, as real numbers, or as the stored ones where ``stored``."""
    import numpy as np

    settings, parameters, x = operation.settings, operation.parameters, operation.data[0].astype(np.float64)
    scale, zero = (_across(parameters[name].astype(np.float64), x, settings["axis"]) for name in ("scale", "zero"))
    stored: Array = np.clip(np.rint(x / scale) + zero, *settings["limits"])
    return stored if settings["stored"] else (stored - zero) * scale


@computes("dequantize")
def dequantize(operation: Operation) -> Array:
    """scale · (x − zero point)."""
    import numpy as np

    settings, parameters, x = operation.settings, operation.parameters, operation.data[0].astype(np.float64)
    scale, zero = (_across(parameters[name].astype(np.float64), x, settings["axis"]) for name in ("scale", "zero"))
    return (x - zero) * scale


def _across(vector: Array, x: Array, axis: int | None) -> Array:
    if vector.size == 1 or axis is None:
        return vector.reshape(())
    shape = [1] * x.ndim
    shape[axis] = vector.size
    return vector.reshape(shape)
