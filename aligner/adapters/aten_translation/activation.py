"""Activations and other functions of one element."""

from __future__ import annotations

import math
from typing import Any

from aligner.adapters.aten_names import bare_name
from aligner.operations.call import Call, OfKind, Vocabulary, of_kind
from aligner.operations.forms import gelu, simple, with_constants
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Cast, Clip, HardSigmoid, Selu, Shrink, Slope

_SAME = (
    "relu relu6 sigmoid tanh mish softsign erf exp log sqrt abs neg reciprocal rsqrt floor ceil trunc sign sin cos tan "
    "asin acos atan sinh cosh asinh acosh atanh expm1 exp2 log1p log2 log10 frac erfc isnan isinf isfinite square "
    "tanhshrink bitwise_not real imag angle"
).split()
_OTHERS = {
    "absolute": "abs",
    "negative": "neg",
    "fix": "trunc",
    "sgn": "sign",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "expit": "sigmoid",
    "logical_not": "not",
    "invert": "bitwise_not",
    "logsigmoid": "log_sigmoid",
    "log_sigmoid": "log_sigmoid",
    "view_as_real": "complex_pairs",
    "view_as_complex": "pairs_complex",
    "conj": "conjugate",
    "conj_physical": "conjugate",
    **dict.fromkeys(
        (
            "identity clone detach contiguous cpu requires_grad lift_fresh lift_fresh_copy lift to_dense data "
            "resolve_conj resolve_neg positive dropout feature_dropout dropout1d dropout2d dropout3d alpha_dropout "
            "feature_alpha_dropout native_dropout"
        ).split(),
        "identity",
    ),
}
_NAMED = {**{word: word for word in _SAME}, **_OTHERS}


def _named(kind: str) -> Any:
    def translate(call: Call) -> Operation:
        if call.node.kind == "dropout" and call.flag("training"):
            raise call.unknown("random")
        return Operation(kind, {}, (call.need(0),))

    return OfKind(kind, translate)


@of_kind("elu")
def _elu(call: Call) -> Operation:
    if call.number("scale", default=1.0) != 1.0 or call.number("input_scale", default=1.0) != 1.0:
        raise call.unknown("scaled")
    return Operation("elu", Slope(alpha=call.number("alpha", default=1.0)), (call.need(0),))


@of_kind("clip")
def _clip(call: Call) -> Operation:
    """Limits may be numbers or tensors; an operand that follows a number is the other limit."""
    word, tensors = bare_name(call.node.op), call.given[1:]
    standard = (-1.0, 1.0) if word == "hardtanh" else (-math.inf, math.inf)
    low, high = call.number("min", default=standard[0]), call.number("max", default=standard[1])
    if any(tensor.size != 1 for tensor in tensors):
        raise call.unknown("limits of several numbers")
    if tensors and ("max" in word or "min" in call.attributes):
        high = float(tensors[0].reshape(()))
    elif tensors:
        low = float(tensors[0].reshape(()))
    if len(tensors) > 1:
        high = float(tensors[1].reshape(()))
    return Operation("clip", Clip(min=low, max=high), (call.need(0),))


@of_kind("prelu")
def _prelu(call: Call) -> Operation:
    """One slope for each channel, which comes second."""
    x = call.need(0)
    return Operation("prelu", Along(axis=min(1, x.ndim - 1)), (x,), {"slope": call.need(1)})


@of_kind("unary")
def _round(call: Call) -> Operation:
    if call.integer("decimals", default=0):
        raise call.unknown("decimals")
    return Operation("round", {}, (call.need(0),))


@of_kind("activation")
def _glu(call: Call) -> Operation:
    x = call.need(0)
    return Operation("glu", Along(axis=call.axis(x.ndim, -1)), (x,))


_DTYPES = {
    "float": "float32",
    "half": "float16",
    "double": "float64",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "byte": "uint8",
    "char": "int8",
    "bool": "bool",
    "bfloat16": "bfloat16",
}


@of_kind("cast")
def _cast(call: Call) -> Operation:
    """What the result was seen to be, else what the call says."""
    said = call.dtype() or str(call.attributes.get("dtype") or _DTYPES.get(bare_name(call.node.op), ""))
    word = said.removeprefix("torch.")
    if not word:
        raise call.unknown("an unknown dtype")
    return Operation("cast", Cast(to=_DTYPES.get(word, word)), (call.need(0),))


def _alias(call: Call) -> Operation:
    """The same tensor; with a second operand, after that one was written somewhere into its memory."""
    if len(call.given) > 1:
        raise call.unknown("a tensor that was written to in part")
    return Operation("identity", {}, (call.need(0),))


@of_kind("activation")
def _shrink(call: Call) -> Operation:
    number = call.number("lambd", default=0.5)
    return Operation("shrink", Shrink(lambd=number, bias=number), (call.need(0),))


_SIXTH = HardSigmoid(alpha=1 / 6, beta=0.5)
_SELU = Selu(alpha=1.6732632423543772, scale=1.0507009873554805)
WORDS: Vocabulary = {
    "alias": _alias,
    **{word: _named(kind) for word, kind in _NAMED.items()},
    "leaky_relu": with_constants("leaky_relu", alpha=0.01),
    "elu": _elu,
    "celu": with_constants("celu", alpha=1.0),
    "selu": simple("selu", 1, _SELU),
    "gelu": of_kind("gelu")(lambda call: gelu(call.need(0), tanh=call.attributes.get("approximate") in {"tanh", True})),
    "silu": with_constants("silu", alpha=1.0),
    "swish": with_constants("silu", alpha=1.0),
    "hardsigmoid": simple("hardsigmoid", 1, _SIXTH),
    "hardswish": simple("hardswish", 1, _SIXTH),
    "softplus": with_constants("softplus", beta=1.0, threshold=20.0),
    **dict.fromkeys("clamp clip clamp_min clamp_max hardtanh".split(), _clip),
    "prelu": _prelu,
    "round": _round,
    "threshold": with_constants("threshold", threshold=0.0, value=0.0),
    "hardshrink": with_constants("shrink", lambd=0.5, bias=0.0),
    "softshrink": _shrink,
    "glu": _glu,
    **dict.fromkeys("to type type_as float double half bfloat16 int long short byte char bool".split(), _cast),
}
