"""Normalisations and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


def _named(*arrays: Array | None) -> dict[str, Array]:
    names = ("scale", "shift", "mean", "variance")
    return {name: array for name, array in zip(names, arrays, strict=False) if array is not None}


def _epsilon(call: Call, default: float = 1e-5) -> dict[str, Any]:
    return {"epsilon": call.number("epsilon", default=default), "axis": min(1, call.need(0).ndim - 1)}


def _batch(call: Call) -> Operation:
    training = call.flag("training_mode")
    settings = _epsilon(call) | {"form": "batch", "training": training}
    return Operation("norm", settings, (call.need(0),), _named(*(call.operand(place) for place in range(1, 5))))


def _instance(call: Call) -> Operation:
    settings = _epsilon(call) | {"form": "instance"}
    return Operation("norm", settings, (call.need(0),), _named(call.operand(1), call.operand(2)))


def _group(call: Call) -> Operation:
    """Since version 21 one scale for each channel; before, one for each group."""
    import numpy as np

    x, groups = call.need(0), call.integer("groups")
    vectors = [call.need(1), call.need(2)]
    if vectors[0].size != x.shape[1]:
        vectors = [np.repeat(vector, x.shape[1] // groups) for vector in vectors]
    return Operation("norm", _epsilon(call) | {"form": "group", "groups": groups}, (x,), _named(*vectors))


def _last_axes(call: Call, form: str) -> dict[str, Any]:
    rank = call.need(0).ndim
    axis = call.integer("axis", default=-1) % rank
    return _epsilon(call) | {"form": form, "axes": tuple(range(axis, rank))}


def _layer(call: Call) -> Operation:
    parameters = _named(call.operand(1), call.operand(2))
    return Operation("norm", _last_axes(call, "layer"), (call.need(0),), parameters)


def _rms(call: Call) -> Operation:
    return Operation("norm", _last_axes(call, "rms"), (call.need(0),), _named(call.operand(1)))


def _skip_layer(call: Call) -> Operation:
    """Of the sum of two tensors: input, skip, gamma, beta, bias."""
    bias = call.operand(4)
    total = call.need(0) + call.need(1) + (0 if bias is None else bias)
    settings = _last_axes(call, "layer") | {"epsilon": call.number("epsilon", default=1e-12)}
    return Operation("norm", settings, (total,), _named(call.operand(2), call.operand(3)))


def _skip_rms(call: Call) -> Operation:
    """Of the sum of two tensors: input, skip, gamma, bias."""
    bias = call.operand(3)
    total = call.need(0) + call.need(1) + (0 if bias is None else bias)
    settings = _last_axes(call, "rms") | {"epsilon": call.number("epsilon", default=1e-12)}
    return Operation("norm", settings, (total,), _named(call.operand(2)))


def _mean_variance(call: Call) -> Operation:
    """The standard adds 1e-9 to the deviation, not to the variance."""
    from aligner.operations.operation import compute

    x = call.need(0)
    axes = tuple(sorted(int(axis) % x.ndim for axis in call.numbers("axes") or (0, 2, 3)))
    deviation = {"form": "std", "axes": axes, "keep": True, "correction": 0.0}
    centred = x - compute(Operation("reduce", deviation | {"form": "mean"}, (x,)))
    return Operation("div", {}, (centred, compute(Operation("reduce", deviation, (x,))) + 1e-9))


def _length(call: Call) -> Operation:
    x, order = call.need(0), call.integer("p", default=2)
    if order not in {1, 2}:
        raise call.unknown("an order other than 1 and 2")
    axis = call.integer("axis", default=-1) % x.ndim
    settings = {"form": "length", "order": order, "axes": (axis,), "epsilon": 0.0, "squared": False, "axis": axis}
    return Operation("norm", settings, (x,))


def _response(call: Call) -> Operation:
    size = call.integer("size")
    settings = {
        "neighbours": ((size - 1) // 2, size // 2),
        "alpha": call.number("alpha", default=1e-4) / size,
        "beta": call.number("beta", default=0.75),
        "bias": call.number("bias", default=1.0),
        "channels": "first",
    }
    return Operation("response_norm", settings, (call.need(0),))


def _softmax(call: Call) -> Operation:
    """Before version 13 all axes from the given one on count as one."""
    x, kind = call.need(0), call.node.kind
    axis = call.integer("axis", default=-1) % max(x.ndim, 1)
    if call.flag("flattened") and axis != x.ndim - 1 and any(size != 1 for size in x.shape[axis + 1 :]):
        raise call.unknown("several axes at once")
    return Operation(kind, {"axis": axis, "beta": 1.0}, (x,))


def _hardmax(call: Call) -> Operation:
    import numpy as np

    x = call.need(0)
    axis = call.integer("axis", default=-1) % x.ndim
    if call.flag("flattened") and axis != x.ndim - 1:
        raise call.unknown("several axes at once")
    settings = {"depth": x.shape[axis], "axis": axis, "wrap": False}
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
    "LRN": _response,
    "Softmax": _softmax,
    "LogSoftmax": _softmax,
    "Hardmax": _hardmax,
}
