"""Activations and other functions of one element."""

from __future__ import annotations

import math
from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import of_one
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Along,
    Approximated,
    Cast,
    Clip,
    Infinite,
    Selu,
    Shrink,
    Softplus,
    Swish,
    Threshold,
)

_NAMED = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softsign": "softsign",
    "Mish": "mish",
    "Erf": "erf",
    "Exp": "exp",
    "Log": "log",
    "Sqrt": "sqrt",
    "Abs": "abs",
    "Neg": "neg",
    "Identity": "identity",
    "Reciprocal": "reciprocal",
    "Floor": "floor",
    "Ceil": "ceil",
    "Round": "round",
    "Sign": "sign",
    "Sin": "sin",
    "Cos": "cos",
    "Tan": "tan",
    "Asin": "asin",
    "Acos": "acos",
    "Atan": "atan",
    "Sinh": "sinh",
    "Cosh": "cosh",
    "Asinh": "asinh",
    "Acosh": "acosh",
    "Atanh": "atanh",
    "Not": "not",
    "BitwiseNot": "bitwise_not",
    "IsNaN": "isnan",
    "com.microsoft::Rsqrt": "rsqrt",
}


def _with(kind: str, **defaults: float) -> Any:
    """A function with constants: those written into the node, else the defaults of the standard."""

    def translate(call: Call) -> Operation:
        return Operation(kind, {n: call.number(n, default=v) for n, v in defaults.items()}, (call.need(0),))

    return translate


def _selu(call: Call) -> Operation:
    alpha = call.number("alpha", default=1.67326319217681884765625)
    return Operation(
        "selu", Selu(alpha=alpha, scale=call.number("gamma", default=1.05070102214813232421875)), (call.need(0),)
    )


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
    return Operation("gelu", Approximated(approximate="tanh" if tanh else "none"), (x,))


def _quick_gelu(call: Call) -> Operation:
    alpha = call.number("alpha", default=1.702)
    if abs(alpha - 1.702) < 1e-6:
        return Operation("gelu", Approximated(approximate="quick"), (call.need(0),))
    return Operation("silu", Swish(alpha=alpha), (call.need(0),))


def _softplus(call: Call) -> Operation:
    return Operation("softplus", Softplus(beta=1.0, threshold=None), (call.need(0),))


def _shrink(call: Call) -> Operation:
    settings = Shrink(lambd=call.number("lambd", default=0.5), bias=call.number("bias", default=0.0))
    return Operation("shrink", settings, (call.need(0),))


def _thresholded(call: Call) -> Operation:
    settings = Threshold(threshold=call.number("alpha", default=1.0), value=0.0)
    return Operation("threshold", settings, (call.need(0),))


def _prelu(call: Call) -> Operation:
    """The slope broadcasts towards the input: its last axis is the input's last; channels come second."""
    x, slope = call.need(0), call.need(1)
    long = [x.ndim - slope.ndim + axis for axis, size in enumerate(slope.shape) if size != 1]
    if slope.ndim == 1 and slope.size > 1:
        slope = slope.reshape(*(1,) * (x.ndim - 1), -1)
    return Operation("prelu", Along(axis=long[0] if len(long) == 1 else min(1, x.ndim - 1)), (x,), {"slope": slope})


def _cast(call: Call) -> Operation:
    to = call.attributes.get("to") or call.dtype()
    if not to:
        raise call.unknown("an unknown dtype")
    return Operation("cast", Cast(to=str(to)), (call.need(0),))


def _dropout(call: Call) -> Operation:
    training = call.operand(2)
    if call.flag("training_mode") or (training is not None and training.any()):
        raise call.unknown("random")
    return Operation("identity", {}, (call.need(0),))


def _is_inf(call: Call) -> Operation:
    positive, negative = (call.flag(f"detect_{sign}", default=True) for sign in ("positive", "negative"))
    return Operation("isinf_signed", Infinite(positive=positive, negative=negative), (call.need(0),))


WORDS: Vocabulary = {
    **of_one(_NAMED),
    "LeakyRelu": _with("leaky_relu", alpha=0.01),
    "Elu": _with("elu", alpha=1.0),
    "Celu": _with("celu", alpha=1.0),
    "Selu": _selu,
    "HardSigmoid": _with("hardsigmoid", alpha=0.2, beta=0.5),
    "HardSwish": _with("hardswish", alpha=1 / 6, beta=0.5),
    "Swish": _with("silu", alpha=1.0),
    "Softplus": _softplus,
    "Clip": _clip,
    "Gelu": _gelu,
    "com.microsoft::Gelu": _gelu,
    "com.microsoft::FastGelu": _gelu,
    "com.microsoft::BiasGelu": _gelu,
    "com.microsoft::QuickGelu": _quick_gelu,
    "Shrink": _shrink,
    "ThresholdedRelu": _thresholded,
    "PRelu": _prelu,
    "Cast": _cast,
    "CastLike": _cast,
    "Dropout": _dropout,
    "IsInf": _is_inf,
}
