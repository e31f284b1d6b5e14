"""Batch, layer, instance, group and root-mean-square normalisation, and softmax."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Operation, channels_back, channels_first, computes, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@computes("norm")
def normalise(operation: Operation) -> Array:
    """(x − mean) / √(variance + ε) · scale + shift."""
    import numpy as np

    settings, parameters = operation.settings, operation.parameters
    x = operation.data[0].astype(np.float64)
    form, axis = settings["form"], settings["axis"]
    if form == "length":
        return _by_length(operation, x)
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


@computes("softmax", "log_softmax")
def softmax(operation: Operation) -> Array:
    """exp(βx) / Σ exp(βx), shifted by the largest."""
    import numpy as np

    x, axis = wide(operation.data[0]) * operation.settings["beta"], operation.settings["axis"]
    shifted = x - x.max(axis=axis, keepdims=True)
    total = np.exp(shifted).sum(axis=axis, keepdims=True)
    result: Array = np.exp(shifted) / total if operation.kind == "softmax" else shifted - np.log(total)
    return result


def _by_length(operation: Operation, x: Array) -> Array:
    """x over its ``order``-norm along the axes, which is ``epsilon`` at least (its square where ``squared``)."""
    import numpy as np

    settings = operation.settings
    if settings["order"] == 1:
        length = np.abs(x).sum(axis=settings["axes"], keepdims=True)
    else:
        length = np.square(x).sum(axis=settings["axes"], keepdims=True)
        length = np.sqrt(np.maximum(length, settings["epsilon"]) if settings["squared"] else length)
    smallest = 0.0 if settings["squared"] else settings["epsilon"]
    found: Array = np.divide(x, np.maximum(length, smallest), out=np.zeros_like(x), where=length > 0)
    return found


@computes("response_norm")
def local_response_norm(operation: Operation) -> Array:
    """x / (bias + alpha · Σ x²)^beta, summed over (before, after) neighbours among the channels."""
    import numpy as np

    settings = operation.settings
    x = channels_first(operation.data[0].astype(np.float64), settings["channels"])
    before, after = settings["neighbours"]
    squares = np.pad(np.square(x), [(0, 0), (before, after)] + [(0, 0)] * (x.ndim - 2))
    total = sum(squares[:, k : k + x.shape[1]] for k in range(before + after + 1))
    return channels_back(x / (settings["bias"] + settings["alpha"] * total) ** settings["beta"], settings["channels"])
