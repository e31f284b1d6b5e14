"""A first look at a side: one run that keeps a sketch of every tensor, and the tensors themselves while they fit."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aligner.records.alignment import Sketch
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray


_CHUNK = 1 << 16
_TINY = 1e-30
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Sketches by value id (the last occurrence), and all tensors in order, or None where they outgrew the budget."""

    sketches: dict[str, Sketch]
    tensors: tuple[CapturedTensor, ...] | None
    occurrences: dict[str, int]
    size: int


def profile(tensors: Iterable[CapturedTensor], budget: int) -> Profile:
    """Sketch every tensor of a run; keep the tensors as long as they take ``budget`` bytes or less in all."""
    sketches: dict[str, Sketch] = {}
    occurrences: dict[str, int] = {}
    kept: list[CapturedTensor] | None = []
    size = 0
    for tensor in tensors:
        size += tensor.array.nbytes
        sketches[tensor.value] = sketch(tensor)
        occurrences[tensor.value] = max(occurrences.get(tensor.value, 0), tensor.occurrence + 1)
        if kept is not None:
            kept.append(tensor)
            if size > budget:
                kept = None
    return Profile(sketches, None if kept is None else tuple(kept), occurrences, size)


def sketch(tensor: CapturedTensor) -> Sketch:
    """Reordering-invariant numbers of a tensor's real values."""
    import numpy as np

    array = tensor.real()
    shape = tuple(int(dim) for dim in array.shape)
    if array.dtype.kind not in "fiub" or not array.size:
        return Sketch(shape, tensor.dtype, 0.0, 0.0, 0.0, 0.0, finite=False)
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            return Sketch(shape, tensor.dtype, 0.0, 0.0, low, high, finite=False)
        mean, rms, order = _sums(flat)
    return Sketch(shape, tensor.dtype, mean, rms, low, high, order=order)


def _sums(flat: NDArray[Any]) -> tuple[float, float, float]:
    """Mean, root mean square and order, block by block: floats in their own dtype, block sums in float64."""
    import numpy as np

    total = squares = order = 0.0
    for number, start in enumerate(range(0, flat.size, _CHUNK)):
        chunk = flat[start : start + _CHUNK]
        if chunk.dtype != np.float32:
            chunk = chunk.astype(np.float64)
        energy = float(chunk @ chunk)
        if not _TINY < energy < float("inf"):
            chunk = chunk.astype(np.float64)
            energy = float(chunk @ chunk)
        total += float(chunk.sum())
        squares += energy
        weight = 1.0 + (number * _GOLDEN) % 1.0
        order += weight * float(chunk @ _places(chunk.size, chunk.dtype.name))
    return total / flat.size, (squares / flat.size) ** 0.5, order / flat.size


@functools.lru_cache(maxsize=4)
def _whole_places(dtype: str) -> NDArray[Any]:
    """The pseudo-random weights of a block's places, in [−1, 1]."""
    import numpy as np

    places: NDArray[Any] = np.random.default_rng(_CHUNK).uniform(-1.0, 1.0, _CHUNK)
    return places.astype(dtype)


def _places(size: int, dtype: str) -> NDArray[Any]:
    return _whole_places(dtype)[:size]
