"""Normalisations and softmax."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import norm, response_norm, softmax
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import BatchNorm, GroupNorm, LayerNorm, Reduce


def _batch(call: Call) -> Operation:
    """Operands input, scale, shift, mean, variance; before operation set 5 the input came third."""
    x = call.need(0)
    if x.ndim < 2:
        raise call.unknown("the input behind the vectors")
    settings = BatchNorm(epsilon=call.number("epsilon", default=1e-5), axis=1)
    return norm(call, settings, range(1, 5))


def _group(call: Call) -> Operation:
    settings = GroupNorm(epsilon=call.number("epsilon", default=1e-5), axis=1, groups=call.integer("groups"))
    return norm(call, settings)


def _mean_variance(call: Call) -> Operation:
    """Of the axes in operand 1; ε is added to the variance, or to its root."""
    x = call.need(0)
    axes = tuple(sorted(axis % x.ndim for axis in call.need_integers(1)))
    epsilon = call.number("epsilon", default=1e-9)
    if not call.flag("normalize_variance", default=True):
        return Operation("sub", {}, (x, compute(Operation("reduce", Reduce(form="mean", axes=axes, keep=True), (x,)))))
    if call.text("eps_mode", "inside_sqrt") == "inside_sqrt":
        return norm(call, LayerNorm(epsilon=epsilon, axis=min(1, x.ndim - 1), axes=axes), ())
    wide = x.astype(np.float64)
    deviation = wide.std(axis=axes, keepdims=True) + epsilon
    return Operation("div", {}, (wide - wide.mean(axis=axes, keepdims=True), deviation))


def _length(call: Call) -> Operation:
    """x / √(Σ x² + ε), or ε at least under the root."""
    x = call.need(0)
    axes = tuple(axis % x.ndim for axis in call.need_integers(1))
    squares = np.square(x.astype(np.float64)).sum(axis=axes, keepdims=True)
    epsilon = call.number("epsilon", default=0.0)
    added = call.text("eps_mode", "add") == "add"
    return Operation("div", {}, (x, np.sqrt(squares + epsilon if added else np.maximum(squares, epsilon))))


def _response(call: Call) -> Operation:
    """Operand 1 names the axes; only sums over channels are known."""
    if call.need_integers(1) != (1,):
        raise call.unknown("sums over other axes than the channels")
    return response_norm(call)


WORDS: Vocabulary = {
    "BatchNormInference": _batch,
    "GroupNormalization": _group,
    "MVN": _mean_variance,
    "NormalizeL2": _length,
    "LRN": _response,
    **dict.fromkeys(("Softmax", "LogSoftmax"), lambda call: softmax(call, 1)),
}
