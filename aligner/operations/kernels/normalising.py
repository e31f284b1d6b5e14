"""Batch, layer, instance, group and root-mean-square normalisation, and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Call, Operation, Unsupported, computes, reads, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_NAMES = ("scale", "shift", "mean", "variance")


@reads("norm")
def read_norm(call: Call) -> Operation:
    """Settings form, epsilon, axes or groups, axis (of the channels), training."""
    word, attributes, x = call.word.replace("_", ""), call.attributes, call.need(0)
    channels = str(attributes.get("channels") or call.channels)
    axis = x.ndim - 1 if channels == "last" else min(1, x.ndim - 1)
    settings: dict[str, Any] = {"epsilon": call.number("epsilon", default=1e-5), "axis": axis}
    vectors = [call.operand(place) for place in range(1, 5)]
    if "batchnorm" in word:
        settings |= {"form": "batch", "training": bool(attributes.get("training", attributes.get("training_mode")))}
    elif "instance" in word:
        settings |= {"form": "instance"}
        if len(vectors) == 4 and vectors[2] is not None and not attributes.get("use_input_stats", True):
            settings |= {"form": "batch", "training": False}
        else:
            vectors = vectors[:2]
    elif "group" in word:
        settings |= {"form": "group", "groups": int(call.number("groups", "num_groups", default=1))}
        vectors = vectors[:2]
    elif "layer" in word or "rms" in word:
        settings |= {"form": "rms" if "rms" in word or "simplified" in word else "layer", "axes": _axes(call, x)}
        vectors = vectors[:2]
        if "skip" in word:
            raise Unsupported(call.node.op)
    else:
        raise Unsupported(call.node.op)
    parameters = {name: v for name, v in zip(_NAMES, vectors, strict=False) if v is not None}
    return Operation("norm", settings, (x,), parameters)


def _axes(call: Call, x: Array) -> tuple[int, ...]:
    axes = call.attributes.get("axes")
    if isinstance(axes, tuple) and axes:
        return tuple(int(a) % x.ndim for a in axes)
    axis = call.attributes.get("axis", -1)
    return tuple(range(int(axis) % x.ndim, x.ndim)) if isinstance(axis, int) else (x.ndim - 1,)


@computes("norm")
def normalise(operation: Operation) -> Array:
    """(x − mean) / √(variance + ε) · scale + shift."""
    import numpy as np

    settings, parameters = operation.settings, operation.parameters
    x = operation.data[0].astype(np.float64)
    form, axis = settings["form"], settings["axis"]
    across = [1] * x.ndim
    across[axis] = x.shape[axis]
    if form == "layer" or form == "rms":
        axes = settings["axes"]
        mean = x.mean(axis=axes, keepdims=True) if form == "layer" else 0.0
        variance = np.square(x - mean).sum(axis=axes, keepdims=True) / (_count(x, axes) - settings.get("correction", 0))
        across = [x.shape[a] if a in axes else 1 for a in range(x.ndim)]
    elif form == "batch" and not settings.get("training") and "mean" in parameters:
        mean, variance = parameters["mean"].reshape(across), parameters["variance"].reshape(across)
    elif form == "group":
        return _grouped(operation, x, across)
    else:
        axes = tuple(a for a in range(x.ndim) if a != axis and (form == "batch" or a != 0))
        mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    result = (x - mean) / np.sqrt(variance + settings["epsilon"])
    return _affine(result, parameters, across)


def _count(x: Array, axes: tuple[int, ...]) -> int:
    count = 1
    for axis in axes:
        count *= x.shape[axis]
    return count


def _grouped(operation: Operation, x: Array, across: list[int]) -> Array:
    import numpy as np

    moved = np.moveaxis(x, operation.settings["axis"], 1)
    parts = moved.reshape(moved.shape[0], operation.settings["groups"], -1)
    mean, variance = parts.mean(axis=2, keepdims=True), parts.var(axis=2, keepdims=True)
    result = ((parts - mean) / np.sqrt(variance + operation.settings["epsilon"])).reshape(moved.shape)
    return _affine(np.moveaxis(result, 1, operation.settings["axis"]), operation.parameters, across)


def _affine(result: Array, parameters: Any, across: list[int]) -> Array:
    if "scale" in parameters:
        result = result * parameters["scale"].reshape(across if parameters["scale"].size > 1 else ())
    if "shift" in parameters:
        result = result + parameters["shift"].reshape(across if parameters["shift"].size > 1 else ())
    return result


@reads("softmax", "log_softmax")
def read_softmax(call: Call) -> Operation:
    """Setting axis, counted from the front."""
    x = call.need(0)
    axis = call.attributes.get("axis", -1)
    if isinstance(axis, tuple):
        axis = axis[0] if len(axis) == 1 else None
    if not isinstance(axis, int):
        raise Unsupported(call.node.op)
    return Operation(call.node.kind, {"axis": axis % x.ndim, "beta": call.number("beta", default=1.0)}, (x,))


@computes("softmax", "log_softmax")
def softmax(operation: Operation) -> Array:
    """exp(βx) / Σ exp(βx), shifted by the largest."""
    import numpy as np

    x, axis = wide(operation.data[0]) * operation.settings["beta"], operation.settings["axis"]
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    result: Array = np.exp(shifted) / total if operation.kind == "softmax" else shifted - np.log(total)
    return result
