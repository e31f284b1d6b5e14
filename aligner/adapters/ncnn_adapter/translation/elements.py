"""Activations, and arithmetic of one or two blobs."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import of_one
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import Along, Approximated, Clip, HardSigmoid, Selu, Slope, Softplus, Swish
from aligner.records.array import Array

_SINGLE = "abs neg floor ceil square sqrt rsqrt exp log sin cos tan asin acos atan reciprocal tanh log10 round trunc"
_PAIRS = "add sub mul div maximum minimum pow sub div pow atan2 atan2"
_TURNED = frozenset({7, 8, 9, 11})
"""Forms of BinaryOp whose operands stand the other way round."""
_LARGEST = 3.4028234663852886e38
"""FLT_MAX: what Clip takes for a limit that is not said."""


def _relu(call: Call) -> Operation:
    slope = call.number("p0", default=0.0)
    return (
        Operation("leaky_relu", Slope(alpha=slope), (call.need(0),))
        if slope
        else Operation("relu", {}, (call.need(0),))
    )


def _clip(call: Call) -> Operation:
    low, high = call.number("p0", default=-_LARGEST), call.number("p1", default=_LARGEST)
    return Operation("clip", Clip(min=low, max=high), (call.need(0),))


def _gelu(call: Call) -> Operation:
    return Operation("gelu", Approximated(approximate="tanh" if call.flag("p0") else "none"), (call.need(0),))


def _hard(kind: str) -> Any:
    def translate(call: Call) -> Operation:
        settings = HardSigmoid(alpha=call.number("p0", default=0.2), beta=call.number("p1", default=0.5))
        return Operation(kind, settings, (call.need(0),))

    return translate


def _elu(call: Call) -> Operation:
    return Operation("elu", Slope(alpha=call.number("p0", default=0.1)), (call.need(0),))


def _selu(call: Call) -> Operation:
    settings = Selu(alpha=call.number("p0", default=1.67326324), scale=call.number("p1", default=1.050700987))
    return Operation("selu", settings, (call.need(0),))


def _prelu(call: Call) -> Operation:
    x, slope = call.need(0), call.need(1)
    if slope.size == 1:
        return Operation("leaky_relu", Slope(alpha=float(slope.reshape(()))), (x,))
    return Operation("prelu", Along(axis=1), (x,), {"slope": slope.reshape(-1, *(1,) * (x.ndim - 2))})


def _unary(call: Call) -> Operation:
    form = call.integer("p0", default=0)
    if not 0 <= form < len(_SINGLE.split()):
        raise call.unknown(f"form {form}")
    return Operation(_SINGLE.split()[form], {}, (call.need(0),))


def _binary(call: Call) -> Operation:
    """Of two blobs, or of one and the number in parameter 2; shapes broadcast as ncnn has them."""
    import numpy as np

    form, x = call.integer("p0", default=0), call.need(0)
    if not 0 <= form < len(_PAIRS.split()):
        raise call.unknown(f"form {form}")
    alone = call.flag("p1")
    y = np.asarray(call.number("p2", default=0.0), np.float32) if alone else _broadcast(call, x, call.need(1))
    x = x if alone else _broadcast(call, y, x)
    return Operation(_PAIRS.split()[form], {}, (y, x) if form in _TURNED else (x, y))


def _broadcast(call: Call, other: Array, array: Array) -> Array:
    """A blob of fewer axes lies along the first ones where it does not fit the last ones."""
    if array.ndim >= other.ndim or array.ndim < 2:
        return array
    shape = call.need_shape()
    inner = array.shape[1:]
    if len(shape) == other.ndim and inner != shape[len(shape) - len(inner) :] and inner == shape[1 : 1 + len(inner)]:
        return array.reshape(array.shape + (1,) * (other.ndim - array.ndim))
    return array.reshape(array.shape[:1] + (1,) * (other.ndim - array.ndim) + inner)


def _eltwise(call: Call) -> Operation:
    """Product, sum with coefficients, or maximum of several blobs."""
    form, (first, *rest) = call.integer("p0", default=0), call.given
    factors = call.numbers("p1") or ()
    if form not in (0, 1, 2) or not rest:
        raise call.unknown(f"form {form}")
    if form == 1 and factors:
        first, *rest = (blob * factor for blob, factor in zip((first, *rest), factors, strict=True))
    kind = ("mul", "add", "maximum")[form]
    for blob in rest[:-1]:
        first = compute(Operation(kind, {}, (first, blob)))
    return Operation(kind, {}, (first, rest[-1]))


WORDS: Vocabulary = {
    **of_one({"Sigmoid": "sigmoid", "TanH": "tanh", "Mish": "mish", "AbsVal": "abs", "Noop": "identity"}),
    **of_one({"Dropout": "identity"}),
    "ReLU": _relu,
    "Clip": _clip,
    "GELU": _gelu,
    "Swish": lambda call: Operation("silu", Swish(), (call.need(0),)),
    "Erf": lambda call: Operation("erf", Approximated(), (call.need(0),)),
    "Softplus": lambda call: Operation("softplus", Softplus(), (call.need(0),)),
    "HardSigmoid": _hard("hardsigmoid"),
    "HardSwish": _hard("hardswish"),
    "ELU": _elu,
    "SELU": _selu,
    "PReLU": _prelu,
    "UnaryOp": _unary,
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
}
