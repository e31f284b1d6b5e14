"""Check what is fed to a program before TensorFlow sees it."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.adapters.base import Feeds
from aligner.adapters.fed import check_dtype, check_injected, check_names, check_shape
from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.adapters.tensorflow_adapter.graph import signature_of
from aligner.records.array import Array


def bind_feeds(flow: Dataflow, feeds: Feeds) -> dict[str, Array]:
    """Arrays by input name, in the function's order.

    Raises InputError for a missing or unknown name, another type, rank or size than the function takes.
    """
    specs = signature_of(flow).inputs
    check_names(specs, feeds)
    given = {name: np.asarray(feeds[name]) for name in flow.fed}
    if flow.program.call is None:
        wide = {name for name, tensor in flow.fed.items() if tensor.dtype.base_dtype.name == "float64"}
        given |= {name: given[name].astype(np.float64) for name in wide}
    for spec in specs:
        array = given[spec.name]
        narrow = spec.dtype == "bfloat16" and array.dtype.name == "float32"
        check_dtype(spec, array.dtype, fits=narrow or array.dtype.name == spec.dtype)
        fits = flow.fed[spec.name].shape.is_compatible_with(array.shape)
        check_shape(spec, array.shape, fits=fits, channels="last")
    return given


def as_fed(tensor: Any, array: Any) -> Array:
    """An array in the type that TensorFlow has for a tensor. Raises InputError where its shape does not fit."""
    found = np.asarray(array)
    wanted = f"{tensor.dtype.base_dtype.name} {tensor.shape}"
    check_injected(tensor.name, found, fits=tensor.shape.is_compatible_with(found.shape), wanted=wanted)
    return found.astype(tensor.dtype.base_dtype.as_numpy_dtype, copy=False)
