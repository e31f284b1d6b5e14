"""Tensors that hold another's numbers in another order, or each channel times a factor of its own."""

from __future__ import annotations

import numpy as np

from aligner.records.array import Array

_EQUAL = 1e-4
"""Of the largest magnitude: far above what rounding does to one number, far below what tells two apart."""
_FEWEST = 4
"""Elements that a channel must have for a factor and an offset to say something of it."""


def is_another_form(found: Array, expected: Array) -> bool:
    """Whether ``found`` is a permutation of ``expected``, or along some axis each slice is a·slice + b."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.size < _FEWEST or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return False
    near = _EQUAL * float(np.abs(expected).max())
    if np.abs(np.sort(found, axis=None) - np.sort(expected, axis=None)).max() <= near:
        return True
    return any(_is_scaled(found, expected, axis) for axis in range(found.ndim))


def _is_scaled(found: Array, expected: Array, axis: int) -> bool:
    slices = found.shape[axis]
    if slices < 2 or found.size < _FEWEST * slices:
        return False
    left = np.moveaxis(expected, axis, 0).reshape(slices, -1)
    right = np.moveaxis(found, axis, 0).reshape(slices, -1)
    left = left - left.mean(axis=1, keepdims=True)
    right = right - right.mean(axis=1, keepdims=True)
    energy = np.square(left).sum(axis=1, keepdims=True)
    slope = np.divide((left * right).sum(axis=1, keepdims=True), energy, out=np.zeros_like(energy), where=energy > 0)
    return bool(np.abs(right - slope * left).max() <= _EQUAL * np.abs(right).max())
