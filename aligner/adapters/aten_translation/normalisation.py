"""Normalisations and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import norm, response_norm
from aligner.operations.operation import Operation, compute
from aligner.operations.settings import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LengthNorm,
    RmsNorm,
    Softmax,
)


def _epsilon(call: Call, default: float = 1e-5) -> float:
    return call.number("epsilon", default=default)


def _channels(call: Call) -> int:
    return min(1, call.need(0).ndim - 1)


def _batch(call: Call, *, training: bool | None = None) -> Operation:
    """F.batch_norm names mean and variance before weight and bias; the graph lists weight and bias first."""
    own = call.flag("training") if training is None else training
    settings = BatchNorm(epsilon=_epsilon(call), axis=_channels(call), training=own)
    return norm(call, settings, range(1, 5))


def _own_statistics(call: Call) -> Operation:
    """Without statistics among its operands it takes its own, whatever it is told."""
    return _batch(call, training=None if call.operand(3) is not None else True)


def _instance(call: Call) -> Operation:
    """With its own statistics, unless it was told to take those that it was given."""
    if call.operand(3) is not None and not call.flag("use_input_stats", default=True):
        return _batch(call, training=False)
    return norm(call, InstanceNorm(epsilon=_epsilon(call), axis=_channels(call)))


def _group(call: Call) -> Operation:
    groups = call.integer("groups", "num_groups", "group")
    return norm(call, GroupNorm(epsilon=_epsilon(call), axis=_channels(call), groups=groups))


def _axes(call: Call) -> tuple[int, ...]:
    rank, axes = call.need(0).ndim, call.numbers("axes")
    if not axes:
        raise call.unknown("unknown axes")
    return tuple(int(axis) % rank for axis in axes)


def _layer(call: Call) -> Operation:
    return norm(call, LayerNorm(epsilon=_epsilon(call), axis=_channels(call), axes=_axes(call)))


def _rms(call: Call) -> Operation:
    """Where no epsilon is given it is the dtype's own."""
    dtype = call.need(0).dtype
    default = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    return norm(call, RmsNorm(epsilon=_epsilon(call, default), axis=_channels(call), axes=_axes(call)), (1,))


def _length(call: Call) -> Operation:
    """F.normalize: by a length that is ``eps`` at least."""
    x, order = call.need(0), call.number("p", default=2.0)
    if order not in {1.0, 2.0}:
        raise call.unknown("an order other than 1 and 2")
    said = call.attributes.get("axis", call.attributes.get("dim", 1))
    axes = tuple(int(axis) % x.ndim for axis in (said if isinstance(said, tuple) else (said,)))  # type: ignore[arg-type]
    return norm(call, LengthNorm(epsilon=_epsilon(call, 1e-12), axis=axes[0], axes=axes, order=int(order)), ())


def _weight_norm(call: Call) -> Operation:
    """g · v / ‖v‖, one length for each place along an axis."""
    v, axis = call.need(0), call.integer("axis", "dim", default=0)
    axes = tuple(other for other in range(v.ndim) if other != axis % v.ndim)
    settings = LengthNorm(epsilon=0.0, axis=axis % v.ndim, axes=axes)
    return Operation("mul", {}, (compute(Operation("norm", settings, (v,))), call.need(1)))


def _softmax(kind: str) -> Any:
    def translate(call: Call) -> Operation:
        x = call.need(0)
        return Operation(kind, Softmax(axis=call.axis(x.ndim)), (x,))

    return translate


def _softmin(call: Call) -> Operation:
    x = call.need(0)
    return Operation("softmax", Softmax(axis=call.axis(x.ndim), beta=-1.0), (x,))


WORDS: Vocabulary = {
    **dict.fromkeys("batch_norm native_batch_norm native_batch_norm_legit_no_training".split(), _batch),
    "native_batch_norm_legit": _own_statistics,
    "instance_norm": _instance,
    **dict.fromkeys("group_norm native_group_norm".split(), _group),
    **dict.fromkeys("layer_norm native_layer_norm".split(), _layer),
    "rms_norm": _rms,
    "normalize": _length,
    "weight_norm": _weight_norm,
    "local_response_norm": lambda call: response_norm(call, longer_before=True),
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "softmin": _softmin,
}
