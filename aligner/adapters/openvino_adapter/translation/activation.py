"""Activations and other functions of one element."""

from __future__ import annotations

import math

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import of_one
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Along,
    Approximated,
    Cast,
    Clip,
    HardSigmoid,
    Infinite,
    Selu,
    Slope,
    Softplus,
    Swish,
)

_NAMED = {
    **{word: word.lower() for word in ("Relu", "Sigmoid", "Tanh", "SoftSign", "Mish", "Exp", "Log", "Sqrt", "Abs")},
    **{word: word.lower() for word in ("Floor", "Sign", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh")},
    **{word: word.lower() for word in ("Asinh", "Acosh", "Atanh", "IsNaN", "IsFinite")},
    "Negative": "neg",
    "Ceiling": "ceil",
    "LogicalNot": "not",
    "BitwiseNot": "bitwise_not",
}


def _number(call: Call, place: int, default: float) -> float:
    """A constant that is an operand of its own."""
    given = call.operand(place)
    if given is not None and given.size != 1:
        raise call.unknown("several constants")
    return default if given is None else float(given.reshape(()))


def _erf(call: Call) -> Operation:
    return Operation("erf", Approximated(), (call.need(0),))


def _round(call: Call) -> Operation:
    if call.text("mode", "half_to_even") != "half_to_even":
        raise call.unknown("halves away from zero")
    return Operation("round", {}, (call.need(0),))


def _clamp(call: Call) -> Operation:
    settings = Clip(min=call.number("min", default=-math.inf), max=call.number("max", default=math.inf))
    return Operation("clip", settings, (call.need(0),))


def _elu(call: Call) -> Operation:
    return Operation("elu", Slope(alpha=call.number("alpha", default=1.0)), (call.need(0),))


def _selu(call: Call) -> Operation:
    """Operands input, alpha, lambda."""
    return Operation("selu", Selu(alpha=_number(call, 1, 1.0), scale=_number(call, 2, 1.0)), (call.need(0),))


def _hard_sigmoid(call: Call) -> Operation:
    """Operands input, alpha, beta."""
    settings = HardSigmoid(alpha=_number(call, 1, 0.2), beta=_number(call, 2, 0.5))
    return Operation("hardsigmoid", settings, (call.need(0),))


def _sixth(call: Call) -> Operation:
    """min(max(x + 3, 0), 6) / 6, or x times that."""
    kind = "hardswish" if call.node.op == "HSwish" else "hardsigmoid"
    return Operation(kind, HardSigmoid(alpha=1 / 6, beta=0.5), (call.need(0),))


def _swish(call: Call) -> Operation:
    return Operation("silu", Swish(alpha=_number(call, 1, 1.0)), (call.need(0),))


def _gelu(call: Call) -> Operation:
    tanh = call.text("approximation_mode", "erf") == "tanh"
    return Operation("gelu", Approximated(approximate="tanh" if tanh else "none"), (call.need(0),))


def _softplus(call: Call) -> Operation:
    return Operation("softplus", Softplus(), (call.need(0),))


def _prelu(call: Call) -> Operation:
    """A vector of slopes is one for each channel, else they broadcast; a leaky ReLU is written as a single one."""
    x, slope = call.need(0), call.need(1)
    if call.node.kind == "leaky_relu":
        return Operation("leaky_relu", Slope(alpha=float(slope.reshape(()))), (x,))
    axis = min(1, x.ndim - 1)
    if slope.ndim > 1:
        long = [x.ndim - slope.ndim + place for place, size in enumerate(slope.shape) if size != 1]
        axis = long[0] if len(long) == 1 else axis
    elif slope.size > 1:
        slope = slope.reshape([slope.size if place == axis else 1 for place in range(x.ndim)])
    return Operation("prelu", Along(axis=axis), (x,), {"slope": slope})


def _convert(call: Call) -> Operation:
    if not call.dtype():
        raise call.unknown("an unknown type")
    return Operation("cast", Cast(to=call.dtype()), (call.need(0),))


def _is_inf(call: Call) -> Operation:
    positive, negative = (call.flag(f"detect_{sign}", default=True) for sign in ("positive", "negative"))
    return Operation("isinf_signed", Infinite(positive=positive, negative=negative), (call.need(0),))


WORDS: Vocabulary = {
    **of_one(_NAMED),
    "Erf": _erf,
    "Round": _round,
    "Clamp": _clamp,
    "Elu": _elu,
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "HSigmoid": _sixth,
    "HSwish": _sixth,
    "Swish": _swish,
    "Gelu": _gelu,
    "SoftPlus": _softplus,
    "PRelu": _prelu,
    "Convert": _convert,
    "ConvertLike": _convert,
    "IsInf": _is_inf,
}
