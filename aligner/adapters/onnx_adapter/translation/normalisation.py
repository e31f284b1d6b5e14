"""Normalisations and softmax."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary, norm_parameters
from aligner.operations.layer_forms import norm, response_norm, softmax
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LengthNorm,
    OneHot,
    Reduce,
    RmsNorm,
)
from aligner.records.array import Array


def _epsilon(call: Call, default: float = 1e-5) -> float:
    return call.number("epsilon", default=default)


def _channels(call: Call) -> int:
    return min(1, call.need(0).ndim - 1)


def _batch(call: Call) -> Operation:
    settings = BatchNorm(epsilon=_epsilon(call), axis=_channels(call), training=call.flag("training"))
    return norm(call, settings, range(1, 5))


def _instance(call: Call) -> Operation:
    return norm(call, InstanceNorm(epsilon=_epsilon(call), axis=_channels(call)))


def _group(call: Call) -> Operation:
    """Since version 21 one scale for each channel; before, one for each group."""
    x, groups = call.need(0), call.integer("groups")
    vectors = [call.need(1), call.need(2)]
    if vectors[0].size != x.shape[1]:
        vectors = [np.repeat(vector, x.shape[1] // groups) for vector in vectors]
    settings = GroupNorm(epsilon=_epsilon(call), axis=_channels(call), groups=groups)
    return Operation("norm", settings, (x,), norm_parameters(*vectors))


def _last_axes(call: Call) -> tuple[int, ...]:
    rank = call.need(0).ndim
    return tuple(range(call.integer("axis", default=-1) % rank, rank))


def _layer_norm(call: Call, epsilon: float) -> LayerNorm:
    return LayerNorm(epsilon=_epsilon(call, epsilon), axis=_channels(call), axes=_last_axes(call))


def _rms_norm(call: Call, epsilon: float) -> RmsNorm:
    return RmsNorm(epsilon=_epsilon(call, epsilon), axis=_channels(call), axes=_last_axes(call))


def _layer(call: Call) -> Operation:
    return norm(call, _layer_norm(call, 1e-5))


def _rms(call: Call) -> Operation:
    return norm(call, _rms_norm(call, 1e-5), (1,))


def _with_skipped(call: Call, place: int) -> Array:
    """The sum of two tensors, and of a bias where there is one."""
    bias = call.operand(place)
    total: Array = call.need(0) + call.need(1) + (0 if bias is None else bias)
    return total


def _skip_layer(call: Call) -> Operation:
    """Of the sum of two tensors: input, skip, gamma, beta, bias."""
    parameters = norm_parameters(call.operand(2), call.operand(3))
    return Operation("norm", _layer_norm(call, 1e-12), (_with_skipped(call, 4),), parameters)


def _skip_rms(call: Call) -> Operation:
    """Of the sum of two tensors: input, skip, gamma, bias."""
    return Operation("norm", _rms_norm(call, 1e-12), (_with_skipped(call, 3),), norm_parameters(call.operand(2)))


def _mean_variance(call: Call) -> Operation:
    """The standard adds 1e-9 to the deviation, not to the variance."""
    x = call.need(0)
    axes = tuple(sorted(int(axis) % x.ndim for axis in call.numbers("axes") or (0, 2, 3)))
    mean, deviation = (
        compute(Operation("reduce", Reduce(form=form, axes=axes, keep=True), (x,))) for form in ("mean", "std")
    )
    return Operation("div", {}, (x - mean, deviation + 1e-9))


def _length(call: Call) -> Operation:
    x, order = call.need(0), call.integer("p", default=2)
    if order not in {1, 2}:
        raise call.unknown("an order other than 1 and 2")
    axis = call.axis(x.ndim, -1)
    return norm(call, LengthNorm(order=order, axes=(axis,), epsilon=0.0, axis=axis), ())


def _softmax(call: Call) -> Operation:
    """Before version 13 all axes from the given one on count as one."""
    x = call.need(0)
    axis = call.axis(x.ndim, -1)
    if call.flag("flattened") and axis != x.ndim - 1 and any(size != 1 for size in x.shape[axis + 1 :]):
        raise call.unknown("several axes at once")
    return softmax(call, -1)


def _hardmax(call: Call) -> Operation:
    x = call.need(0)
    axis = call.integer("axis", default=-1) % x.ndim
    if call.flag("flattened") and axis != x.ndim - 1:
        raise call.unknown("several axes at once")
    settings = OneHot(depth=x.shape[axis], axis=axis, wrap=False)
    return Operation("one_hot", settings, (x.argmax(axis=axis), np.ones(()), np.zeros(())))


WORDS: Vocabulary = {
    "BatchNormalization": _batch,
    "InstanceNormalization": _instance,
    "GroupNormalization": _group,
    "LayerNormalization": _layer,
    "RMSNormalization": _rms,
    **dict.fromkeys(("SimplifiedLayerNormalization", "com.microsoft::SimplifiedLayerNormalization"), _rms),
    "com.microsoft::SkipLayerNormalization": _skip_layer,
    "com.microsoft::SkipSimplifiedLayerNormalization": _skip_rms,
    "MeanVarianceNormalization": _mean_variance,
    "LpNormalization": _length,
    "LRN": response_norm,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _hardmax,
}
