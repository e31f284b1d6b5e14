"""Normalisations and softmax."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary, norm_parameters
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import BatchNorm, GroupNorm, LayerNorm, Reduce, ResponseNorm, Softmax


def _batch(call: Call) -> Operation:
    """Operands input, scale, shift, mean, variance; before operation set 5 the input came third."""
    x = call.need(0)
    if x.ndim < 2:
        raise call.unknown("the input behind the vectors")
    settings = BatchNorm(epsilon=call.number("epsilon", default=1e-5), axis=1)
    return Operation("norm", settings, (x,), norm_parameters(*map(call.operand, range(1, 5))))


def _group(call: Call) -> Operation:
    settings = GroupNorm(epsilon=call.number("epsilon", default=1e-5), axis=1, groups=call.integer("groups"))
    return Operation("norm", settings, (call.need(0),), norm_parameters(call.operand(1), call.operand(2)))


def _mean_variance(call: Call) -> Operation:
    """Of the axes in operand 1; ε is added to the variance, or to its root."""
    import numpy as np

    x = call.need(0)
    axes = tuple(sorted(axis % x.ndim for axis in call.need_integers(1)))
    epsilon = call.number("epsilon", default=1e-9)
    if not call.flag("normalize_variance", default=True):
        return Operation("sub", {}, (x, compute(Operation("reduce", Reduce(form="mean", axes=axes, keep=True), (x,)))))
    if call.text("eps_mode", "inside_sqrt") == "inside_sqrt":
        return Operation("norm", LayerNorm(epsilon=epsilon, axis=min(1, x.ndim - 1), axes=axes), (x,))
    wide = x.astype(np.float64)
    deviation = wide.std(axis=axes, keepdims=True) + epsilon
    return Operation("div", {}, (wide - wide.mean(axis=axes, keepdims=True), deviation))


def _length(call: Call) -> Operation:
    """x / √(Σ x² + ε), or ε at least under the root."""
    import numpy as np

    x = call.need(0)
    axes = tuple(axis % x.ndim for axis in call.need_integers(1))
    squares = np.square(x.astype(np.float64)).sum(axis=axes, keepdims=True)
    epsilon = call.number("epsilon", default=0.0)
    added = call.text("eps_mode", "add") == "add"
    return Operation("div", {}, (x, np.sqrt(squares + epsilon if added else np.maximum(squares, epsilon))))


def _response(call: Call) -> Operation:
    """Operand 1 names the axes; only sums over channels are known."""
    size = call.integer("size")
    if call.need_integers(1) != (1,):
        raise call.unknown("sums over other axes than the channels")
    settings = ResponseNorm(
        neighbours=((size - 1) // 2, size // 2),
        alpha=call.number("alpha", default=1e-4) / size,
        beta=call.number("beta", default=0.75),
        bias=call.number("bias", default=1.0),
        channels="first",
    )
    return Operation("response_norm", settings, (call.need(0),))


def _softmax(call: Call) -> Operation:
    x = call.need(0)
    return Operation(call.node.kind, Softmax(axis=call.integer("axis", default=1) % max(x.ndim, 1)), (x,))


WORDS: Vocabulary = {
    "BatchNormInference": _batch,
    "GroupNormalization": _group,
    "MVN": _mean_variance,
    "NormalizeL2": _length,
    "LRN": _response,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
}
