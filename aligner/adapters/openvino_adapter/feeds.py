"""Check what is fed against what the model declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aligner.adapters.fed import check_dtype, check_names, check_shape
from aligner.adapters.openvino_adapter.types import holder_of
from aligner.records.array import Array
from aligner.records.graph import InputSpec


def bind_feeds(inputs: Mapping[str, tuple[InputSpec, Any]], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays in the order of the model's inputs; ``inputs`` gives the runtime's shape beside each.

    Raises InputError for a name that is missing or unknown, another dtype, and a shape that does not fit.
    """
    check_names((spec for spec, _ in inputs.values()), feeds)
    return {name: _checked(spec, shape, feeds[name]) for name, (spec, shape) in inputs.items()}


def _checked(spec: InputSpec, shape: Any, given: Array) -> Array:
    array = np.asarray(given)
    holder = holder_of(spec.dtype or "")
    check_dtype(spec, array.dtype, fits=holder is not None and array.dtype == holder, wanted=holder)
    sizes = list(shape) if shape.rank.is_static else None
    fits = sizes is None or (len(sizes) == array.ndim and all(map(_fits, sizes, array.shape)))
    check_shape(spec, array.shape, fits=fits)
    return array


def _fits(wanted: Any, size: int) -> bool:
    least, most = wanted.min_length, wanted.max_length
    return bool(least <= size and (most < 0 or size <= most))
