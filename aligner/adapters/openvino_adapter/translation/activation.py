"""Activations and other functions of one element."""

from __future__ import annotations

import math

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import cast, gelu, of_one, prelu, simple, spelled, with_constants
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Approximated,
    HardSigmoid,
    Infinite,
    Selu,
    Slope,
    Softplus,
    Swish,
)

_NAMED = {
    **spelled(
        "Relu Sigmoid Tanh Mish Exp Log Sqrt Abs Floor Sign Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh"
    ),
    "SoftSign": "softsign",
    "IsNaN": "isnan",
    "IsFinite": "isfinite",
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


def _round(call: Call) -> Operation:
    if call.text("mode", "half_to_even") != "half_to_even":
        raise call.unknown("halves away from zero")
    return Operation("round", {}, (call.need(0),))


def _selu(call: Call) -> Operation:
    """Operands input, alpha, lambda."""
    return Operation("selu", Selu(alpha=_number(call, 1, 1.0), scale=_number(call, 2, 1.0)), (call.need(0),))


def _hard_sigmoid(call: Call) -> Operation:
    """Operands input, alpha, beta."""
    settings = HardSigmoid(alpha=_number(call, 1, 0.2), beta=_number(call, 2, 0.5))
    return Operation("hardsigmoid", settings, (call.need(0),))


def _swish(call: Call) -> Operation:
    return Operation("silu", Swish(alpha=_number(call, 1, 1.0)), (call.need(0),))


def _prelu(call: Call) -> Operation:
    """A vector of slopes is one for each channel, else they broadcast; a leaky ReLU is written as a single one."""
    x, slope = call.need(0), call.need(1)
    if call.node.kind == "leaky_relu":
        return Operation("leaky_relu", Slope(alpha=float(slope.reshape(()))), (x,))
    axis = min(1, x.ndim - 1)
    if slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape([slope.size if place == axis else 1 for place in range(x.ndim)])
    return prelu(x, slope, axis)


def _is_inf(call: Call) -> Operation:
    positive, negative = (call.flag(f"detect_{sign}", default=True) for sign in ("positive", "negative"))
    return Operation("isinf_signed", Infinite(positive=positive, negative=negative), (call.need(0),))


_SIXTH = HardSigmoid(alpha=1 / 6, beta=0.5)
"""min(max(x + 3, 0), 6) / 6."""

WORDS: Vocabulary = {
    **of_one(_NAMED),
    "Erf": simple("erf", 1, Approximated()),
    "Round": _round,
    "Clamp": with_constants("clip", min=-math.inf, max=math.inf),
    "Elu": with_constants("elu", alpha=1.0),
    "Selu": _selu,
    "HardSigmoid": _hard_sigmoid,
    "HSigmoid": simple("hardsigmoid", 1, _SIXTH),
    "HSwish": simple("hardswish", 1, _SIXTH),
    "Swish": _swish,
    "Gelu": lambda call: gelu(call.need(0), tanh=call.text("approximation_mode", "erf") == "tanh"),
    "SoftPlus": simple("softplus", 1, Softplus()),
    "PRelu": _prelu,
    "Convert": cast,
    "ConvertLike": cast,
    "IsInf": _is_inf,
}
