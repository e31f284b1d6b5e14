"""Activations, and arithmetic of one or two blobs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import gelu, of_all, of_one, simple, with_constants
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, Approximated, Slope, Softplus, Swish
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
    return of_all(("mul", "add", "maximum")[form])(replace(call, operands=(first, *rest)))


WORDS: Vocabulary = {
    **of_one({"Sigmoid": "sigmoid", "TanH": "tanh", "Mish": "mish", "AbsVal": "abs", "Noop": "identity"}),
    **of_one({"Dropout": "identity"}),
    "ReLU": _relu,
    "Clip": with_constants("clip", min=("p0", -_LARGEST), max=("p1", _LARGEST)),
    "GELU": lambda call: gelu(call.need(0), tanh=call.flag("p0")),
    "Swish": simple("silu", 1, Swish()),
    "Erf": simple("erf", 1, Approximated()),
    "Softplus": simple("softplus", 1, Softplus()),
    "HardSigmoid": with_constants("hardsigmoid", alpha=("p0", 0.2), beta=("p1", 0.5)),
    "HardSwish": with_constants("hardswish", alpha=("p0", 0.2), beta=("p1", 0.5)),
    "ELU": with_constants("elu", alpha=("p0", 0.1)),
    "SELU": with_constants("selu", alpha=("p0", 1.67326324), scale=("p1", 1.050700987)),
    "PReLU": _prelu,
    "UnaryOp": _unary,
    "BinaryOp": _binary,
    "Eltwise": _eltwise,
}
