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
    """F.batch_norm names mean and variance before weight and bias; the graph lists weight and bias first."""
    x = call.need(0)
    vectors = [call.operand(place) for place in range(1, 5)]
    settings = _epsilon(call) | {"form": "batch", "training": call.flag("training")}
    return Operation("norm", settings, (x,), _named(*vectors))


def _instance(call: Call) -> Operation:
    """With its own statistics, unless it was told to take those that it was given."""
    vectors = [call.operand(place) for place in range(1, 5)]
    if vectors[2] is not None and not call.flag("use_input_stats", default=True):
        settings = _epsilon(call) | {"form": "batch", "training": False}
        return Operation("norm", settings, (call.need(0),), _named(*vectors))
    return Operation("norm", _epsilon(call) | {"form": "instance"}, (call.need(0),), _named(*vectors[:2]))


def _group(call: Call) -> Operation:
    settings = _epsilon(call) | {"form": "group", "groups": call.integer("groups", "num_groups")}
    return Operation("norm", settings, (call.need(0),), _named(call.operand(1), call.operand(2)))


def _axes(call: Call) -> tuple[int, ...]:
    rank, axes = call.need(0).ndim, call.numbers("axes")
    if not axes:
        raise call.unknown("unknown axes")
    return tuple(int(axis) % rank for axis in axes)


def _layer(call: Call) -> Operation:
    settings = _epsilon(call) | {"form": "layer", "axes": _axes(call)}
    return Operation("norm", settings, (call.need(0),), _named(call.operand(1), call.operand(2)))


def _rms(call: Call) -> Operation:
    """Where no epsilon is given it is the dtype's own."""
    import numpy as np

    dtype = call.need(0).dtype
    default = float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0
    settings = _epsilon(call, default) | {"form": "rms", "axes": _axes(call)}
    return Operation("norm", settings, (call.need(0),), _named(call.operand(1)))


def _length(call: Call) -> Operation:
    """F.normalize: by a length that is ``eps`` at least."""
    x, order = call.need(0), call.number("p", default=2.0)
    if order not in {1.0, 2.0}:
        raise call.unknown("an order other than 1 and 2")
    said = call.attributes.get("axis", call.attributes.get("dim", 1))
    axes = tuple(int(axis) % x.ndim for axis in (said if isinstance(said, tuple) else (said,)))  # type: ignore[arg-type]
    settings = {"form": "length", "order": int(order), "axes": axes, "squared": False, "axis": axes[0]}
    return Operation("norm", settings | {"epsilon": call.number("epsilon", default=1e-12)}, (x,))


def _response(call: Call) -> Operation:
    size = call.integer("size")
    settings = {
        "neighbours": (size // 2, (size - 1) // 2),
        "alpha": call.number("alpha", default=1e-4) / size,
        "beta": call.number("beta", default=0.75),
        "bias": call.number("k", default=1.0),
        "channels": "first",
    }
    return Operation("response_norm", settings, (call.need(0),))


def _softmax(kind: str) -> Any:
    def translate(call: Call) -> Operation:
        x = call.need(0)
        axis = call.integer("axis", "dim")
        return Operation(kind, {"axis": axis % max(x.ndim, 1), "beta": 1.0}, (x,))

    return translate


def _softmin(call: Call) -> Operation:
    x = call.need(0)
    return Operation("softmax", {"axis": call.integer("axis", "dim") % x.ndim, "beta": -1.0}, (x,))


WORDS: Vocabulary = {
    **dict.fromkeys("batch_norm native_batch_norm".split(), _batch),
    "instance_norm": _instance,
    "group_norm": _group,
    "layer_norm": _layer,
    "rms_norm": _rms,
    "normalize": _length,
    "local_response_norm": _response,
    "softmax": _softmax("softmax"),
    "log_softmax": _softmax("log_softmax"),
    "softmin": _softmin,
}
