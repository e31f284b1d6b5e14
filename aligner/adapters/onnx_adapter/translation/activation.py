"""Activations and other functions of one element."""

from __future__ import annotations

import math

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import cast, gelu, of_one, prelu, simple, spelled, with_constants
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Approximated,
    Clip,
    Infinite,
    Softplus,
    Swish,
)

NAMED = {
    **spelled(
        "Relu Sigmoid Tanh Softsign Mish Erf Exp Log Sqrt Abs Neg Identity Reciprocal Floor Ceil Round Sign Sin Cos "
        "Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Not BitwiseNot"
    ),
    "IsNaN": "isnan",
    "com.microsoft::Rsqrt": "rsqrt",
}


def _clip(call: Call) -> Operation:
    if call.node.kind != "clip":
        return Operation(call.node.kind, {}, (call.need(0),))
    limits = []
    for place, name, default in ((1, "min", -math.inf), (2, "max", math.inf)):
        given = call.operand(place)
        limits.append(
            float(given.reshape(())) if given is not None and given.size == 1 else call.number(name, default=default)
        )
    return Operation("clip", Clip(min=limits[0], max=limits[1]), (call.need(0),))


def _gelu(call: Call) -> Operation:
    x, word = call.need(0), call.node.op.rpartition("::")[2]
    if word in {"BiasGelu", "FastGelu"} and call.operand(1) is not None:
        x = x + call.need(1)
    tanh = word == "FastGelu" or call.text("approximate", "none") == "tanh"
    return gelu(x, tanh=tanh)


def _quick_gelu(call: Call) -> Operation:
    alpha = call.number("alpha", default=1.702)
    if abs(alpha - 1.702) < 1e-6:
        return Operation("gelu", Approximated(approximate="quick"), (call.need(0),))
    return Operation("silu", Swish(alpha=alpha), (call.need(0),))


def _prelu(call: Call) -> Operation:
    """The slope broadcasts towards the input: its last axis is the input's last; channels come second."""
    x, slope = call.need(0), call.need(1)
    if slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape(*(1,) * (x.ndim - 1), -1)
    return prelu(x, slope, min(1, x.ndim - 1))


def _dropout(call: Call) -> Operation:
    training = call.operand(2)
    if call.flag("training") or (training is not None and training.any()):
        raise call.unknown("random")
    return Operation("identity", {}, (call.need(0),))


def _is_inf(call: Call) -> Operation:
    positive, negative = (call.flag(f"detect_{sign}", default=True) for sign in ("positive", "negative"))
    return Operation("isinf_signed", Infinite(positive=positive, negative=negative), (call.need(0),))


WORDS: Vocabulary = {
    **of_one(NAMED),
    "LeakyRelu": with_constants("leaky_relu", alpha=0.01),
    "Elu": with_constants("elu", alpha=1.0),
    "Celu": with_constants("celu", alpha=1.0),
    "Selu": with_constants("selu", alpha=1.67326319217681884765625, scale=("gamma", 1.05070102214813232421875)),
    "HardSigmoid": with_constants("hardsigmoid", alpha=0.2, beta=0.5),
    "HardSwish": with_constants("hardswish", alpha=1 / 6, beta=0.5),
    "Swish": with_constants("silu", alpha=1.0),
    "Softplus": simple("softplus", 1, Softplus()),
    "Clip": _clip,
    "Gelu": _gelu,
    "com.microsoft::Gelu": _gelu,
    "com.microsoft::FastGelu": _gelu,
    "com.microsoft::BiasGelu": _gelu,
    "com.microsoft::QuickGelu": _quick_gelu,
    "Shrink": with_constants("shrink", lambd=0.5, bias=0.0),
    "ThresholdedRelu": with_constants("threshold", threshold=("alpha", 1.0), value=0.0),
    "PRelu": _prelu,
    "Cast": cast,
    "CastLike": cast,
    "Dropout": _dropout,
    "IsInf": _is_inf,
}
