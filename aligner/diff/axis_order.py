"""Carry a reference tensor into the candidate's axis order and back, as views."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def to_candidate(reference: Array, axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> Array | None:
    """The reference in the candidate's order and ``shape`` (axes of length one may differ); None if it does not fit."""
    moved = reference if axes is None else reference.transpose(axes)
    if moved.shape == shape:
        return moved
    return moved.reshape(shape) if _squeezed(moved.shape) == _squeezed(shape) else None


def to_reference(candidate: Array, axes: tuple[int, ...] | None, shape: tuple[int, ...]) -> Array | None:
    """The candidate in the reference's order and ``shape``; None if it does not fit."""
    import numpy as np

    moved = candidate
    if axes is not None:
        turned = tuple(shape[axis] for axis in axes)
        if _squeezed(turned) != _squeezed(candidate.shape):
            return None
        moved = candidate.reshape(turned).transpose(np.argsort(axes))
    if moved.shape == shape:
        return moved
    return moved.reshape(shape) if _squeezed(moved.shape) == _squeezed(shape) else None


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(dim for dim in shape if dim != 1)
