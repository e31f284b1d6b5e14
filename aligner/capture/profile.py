"""A first look at a side: one run that keeps a sketch of every tensor, and the tensors themselves while they fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aligner.records.alignment import Sketch
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_CHUNK = 1 << 18
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
        return Sketch(
            shape=shape,
            dtype=tensor.dtype,
            mean=float(flat.mean(dtype=np.float64)),
            rms=_root_mean_square(flat),
            min=low,
            max=high,
            order=_order(flat),
        )


def _order(flat: NDArray[np.generic]) -> float:
    import numpy as np

    total = 0.0
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK].astype(np.float64)
        places = np.arange(start, start + chunk.size, dtype=np.float64)
        total += float(chunk @ (2.0 * np.modf(places * _GOLDEN)[0] - 1.0))
    return total / float(flat.size)


def _root_mean_square(flat: NDArray[np.generic]) -> float:
    import numpy as np

    total = 0.0
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK].astype(np.float64)
        total += float(chunk @ chunk)
    return float(np.sqrt(total / flat.size))
