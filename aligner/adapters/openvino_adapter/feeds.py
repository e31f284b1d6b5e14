"""Check what is fed against what the model declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aligner.adapters.openvino_adapter.types import holder_of
from aligner.errors import InputError, listing
from aligner.records.array import Array
from aligner.records.graph import InputSpec


def bind_feeds(inputs: Mapping[str, tuple[InputSpec, Any]], feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays in the order of the model's inputs; ``inputs`` gives the runtime's shape beside each.

    Raises InputError for a name that is missing or unknown, another dtype, and a shape that does not fit.
    """
    declared = "; ".join(_told(spec) for spec, _ in inputs.values()) or "it has none"
    unknown = [name for name in feeds if name not in inputs]
    missing = [name for name in inputs if name not in feeds]
    if unknown:
        raise InputError(f"the model has no input {listing(unknown)}", found=f"given: {listing(feeds)}", hint=declared)
    if missing:
        raise InputError(
            f"an input of the model is missing: {listing(missing)}",
            found=f"given: {listing(feeds) or 'none'}",
            hint=f"its inputs: {declared}",
        )
    return {name: _checked(spec, shape, feeds[name]) for name, (spec, shape) in inputs.items()}


def _checked(spec: InputSpec, shape: Any, given: Array) -> Array:
    array = np.asarray(given)
    holder = holder_of(spec.dtype or "")
    if holder is None or array.dtype != holder:
        raise InputError(
            f"input {spec.name!r} has another dtype",
            found=f"{array.dtype} given, {spec.dtype} wanted",
            hint=f"convert it to {holder or spec.dtype}",
        )
    sizes = list(shape) if shape.rank.is_static else None
    if sizes is not None and not (len(sizes) == array.ndim and all(map(_fits, sizes, array.shape))):
        raise InputError(
            f"input {spec.name!r} has another shape",
            found=f"{list(array.shape)} given",
            hint=f"wanted: {_told(spec)}",
        )
    return array


def _fits(wanted: Any, size: int) -> bool:
    least, most = wanted.min_length, wanted.max_length
    return bool(least <= size and (most < 0 or size <= most))


def _told(spec: InputSpec) -> str:
    """ "x [1, 3, ?, ?] float32"."""
    shape = "" if spec.shape is None else f" [{', '.join('?' if n is None else str(n) for n in spec.shape)}]"
    return f"{spec.name}{shape} {spec.dtype or ''}".rstrip()
