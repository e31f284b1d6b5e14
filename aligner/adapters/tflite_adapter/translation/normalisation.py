"""Normalisations and softmax, along the last axis."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import norm
from aligner.operations.operation import Operation
from aligner.operations.settings import LengthNorm, ResponseNorm, Softmax


def _softmax(call: Call) -> Operation:
    x, beta = call.need(0), call.number("beta", default=1.0)
    kind = "softmax" if call.node.op == "SOFTMAX" else "log_softmax"
    return Operation(kind, Softmax(axis=x.ndim - 1, beta=beta if kind == "softmax" else 1.0), (x,))


def _length(call: Call) -> Operation:
    """The kernels divide by a length of 1e-6 at least."""
    last = call.need(0).ndim - 1
    return norm(call, LengthNorm(axes=(last,), epsilon=1e-12, squared=True, axis=last), ())


def _response(call: Call) -> Operation:
    radius = call.integer("radius")
    alpha, beta, bias = (call.number(name, default=1.0) for name in ("alpha", "beta", "bias"))
    settings = ResponseNorm(neighbours=(radius, radius), alpha=alpha, beta=beta, bias=bias, channels="last")
    return Operation("response_norm", settings, (call.need(0),))


WORDS: Vocabulary = {
    "SOFTMAX": _softmax,
    "LOG_SOFTMAX": _softmax,
    "L2_NORMALIZATION": _length,
    "LOCAL_RESPONSE_NORMALIZATION": _response,
}
