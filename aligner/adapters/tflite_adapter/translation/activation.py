"""Activations and other functions of one element; a quantized tensor is the real numbers it stands for."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import of_one
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Approximated, Cast, Clip, HardSigmoid, Quantize, Slope

NAMED = {
    "RELU": "relu",
    "RELU6": "relu6",
    "LOGISTIC": "sigmoid",
    "TANH": "tanh",
    "ABS": "abs",
    "NEG": "neg",
    "EXP": "exp",
    "LOG": "log",
    "SQRT": "sqrt",
    "RSQRT": "rsqrt",
    "SQUARE": "square",
    "FLOOR": "floor",
    "CEIL": "ceil",
    "ROUND": "round",
    "SIN": "sin",
    "COS": "cos",
    "SIGN": "sign",
    "LOGICAL_NOT": "not",
    "REAL": "real",
    "IMAG": "imag",
    "COMPLEX_ABS": "abs",
    "DEQUANTIZE": "identity",
    "DENSIFY": "identity",
}


def _between(low: float, high: float) -> Any:
    return lambda call: Operation("clip", Clip(min=low, max=high), (call.need(0),))


def _leaky(call: Call) -> Operation:
    return Operation("leaky_relu", Slope(alpha=call.number("alpha", default=0.0)), (call.need(0),))


def _elu(call: Call) -> Operation:
    return Operation("elu", Slope(alpha=1.0), (call.need(0),))


def _hard_swish(call: Call) -> Operation:
    return Operation("hardswish", HardSigmoid(alpha=1 / 6, beta=0.5), (call.need(0),))


def _gelu(call: Call) -> Operation:
    return Operation("gelu", Approximated(approximate="tanh" if call.flag("approximate") else "none"), (call.need(0),))


def _prelu(call: Call) -> Operation:
    """The slope broadcasts; as a rule it has one number for each channel."""
    x, slope = call.need(0), call.need(1)
    long = [x.ndim - slope.ndim + axis for axis, size in enumerate(slope.shape) if size != 1]
    return Operation("prelu", Along(axis=long[0] if len(long) == 1 else x.ndim - 1), (x,), {"slope": slope})


def _cast(call: Call) -> Operation:
    if not call.dtype():
        raise call.unknown("an unknown dtype")
    return Operation("cast", Cast(to=call.dtype()), (call.need(0),))


_LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


def _quantize(call: Call) -> Operation:
    import numpy as np

    grid = call.quantization()
    if grid is None or call.dtype() not in _LIMITS or len(grid.scale) != 1:
        raise call.unknown("an unknown grid")
    settings = Quantize(axis=None, limits=_LIMITS[call.dtype()], stored=False)
    parameters = {"scale": np.asarray(grid.scale), "zero": np.asarray(grid.zero_point)}
    return Operation("quantize", settings, (call.need(0),), parameters)


WORDS: Vocabulary = {
    **of_one(NAMED),
    "RELU_N1_TO_1": _between(-1.0, 1.0),
    "RELU_0_TO_1": _between(0.0, 1.0),
    "LEAKY_RELU": _leaky,
    "ELU": _elu,
    "HARD_SWISH": _hard_swish,
    "GELU": _gelu,
    "PRELU": _prelu,
    "CAST": _cast,
    "QUANTIZE": _quantize,
}
