"""Check what is fed to a program before TensorFlow sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.adapters.tensorflow_adapter.graph import shape_of
from aligner.errors import InputError, listing
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds
    from aligner.adapters.tensorflow_adapter.dataflow import Dataflow


def bind_feeds(flow: Dataflow, feeds: Feeds) -> dict[str, Array]:
    """Arrays by input name, in the function's order.

    Raises InputError for a missing or unknown name, another type, rank or size than the function takes.
    """
    unknown, missing = (
        [name for name in feeds if name not in flow.fed],
        [name for name in flow.fed if name not in feeds],
    )
    if unknown or missing:
        raise InputError(
            "the model has no such input" if unknown else "an input of the model is missing",
            found=listing(unknown or missing),
            hint=f"its inputs are {listing(flow.fed)}",
        )
    given = {name: np.asarray(feeds[name]) for name in flow.fed}
    if flow.program.call is None:
        wide = {name for name, tensor in flow.fed.items() if tensor.dtype.base_dtype.name == "float64"}
        given |= {name: given[name].astype(np.float64) for name in wide}
    for name, array in given.items():
        _check(name, flow.fed[name], array)
    return given


def _check(name: str, tensor: Any, array: Array) -> None:
    wanted = tensor.dtype.base_dtype.name
    if array.dtype.name != wanted and not (wanted == "bfloat16" and array.dtype.name == "float32"):
        raise InputError(
            "an input has the wrong type",
            found=f'"{name}" is {array.dtype}, the model takes {wanted}',
            hint=f"feed it as {wanted}",
        )
    if not tensor.shape.is_compatible_with(array.shape):
        sizes = ", ".join("any" if size is None else str(size) for size in shape_of(tensor) or ())
        raise InputError(
            "an input has the wrong shape",
            found=f'"{name}" is {array.shape}, the model takes ({sizes})',
            hint="resize or transpose it; TensorFlow takes images as (N, height, width, channels)",
        )


def as_fed(tensor: Any, array: Any) -> Array:
    """An array in the type that TensorFlow has for a tensor. Raises InputError where its shape does not fit."""
    found = np.asarray(array)
    if not tensor.shape.is_compatible_with(found.shape):
        raise InputError(
            "the array to inject does not fit the value",
            found=f'"{tensor.name}" is {tensor.shape}, the array is {found.shape}',
            hint="inject arrays in the layout and type that the value has in this model",
        )
    return found.astype(tensor.dtype.base_dtype.as_numpy_dtype, copy=False)
