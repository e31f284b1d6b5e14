"""Resizing: coordinate maps, nearest rounding, linear and cubic kernels, antialiasing; one axis after another."""

from __future__ import annotations

import math

import numpy as np

from aligner.operations.operation import Operation, Unsupported, computes_by, wide
from aligner.operations.settings import Resize
from aligner.records.array import Array

COORDINATES = ("half_pixel", "align_corners", "asymmetric", "half_pixel_or_start")
ROUNDINGS = ("floor", "round_prefer_floor", "round_prefer_ceil", "ceil")


@computes_by(Resize, "resize")
def resize(operation: Operation, settings: Resize) -> Array:
    """Each axis whose size or scale changes is resampled by a small matrix."""
    x = wide(operation.data[0])
    for axis, wanted in enumerate(settings.shape):
        size = x.shape[axis]
        scale = settings.scales[axis] if settings.scales else wanted / size
        if wanted == size and scale == 1:
            continue
        if int(wanted) * size > 1 << 24:
            raise Unsupported("too large to recompute")
        matrix = _matrix(size, int(wanted), scale, settings).astype(x.dtype)
        x = np.moveaxis(np.tensordot(matrix, x, axes=(1, axis)), 0, axis)
    return x


def _matrix(size: int, wanted: int, scale: float, settings: Resize) -> Array:
    at = _coordinates(size, wanted, scale, settings.coordinates)
    matrix = np.zeros((wanted, size))
    rows = np.arange(wanted)
    if settings.mode == "nearest":
        # most kernels compute places in float32: 2.9999998 means 3
        at = _multiplied(rows, scale, settings.coordinates) if _is_multiplied(settings) else np.round(at, 6)
        matrix[rows, np.clip(_rounded(at, settings.rounding), 0, size - 1)] = 1
        return matrix
    if settings.mode not in {"linear", "cubic"}:
        raise Unsupported(str(settings.mode))
    support = 1 if settings.mode == "linear" else 2
    stretch = max(1.0, 1 / scale) if settings.antialias else 1.0
    reach = math.ceil(support * stretch)
    base = np.floor(at).astype(int)
    weights, places = [], []
    for offset in range(-reach + 1, reach + 1):
        place = base + offset
        weight = _kernel((at - place) / stretch, settings)
        if settings.exclude_outside:
            weight = np.where((place < 0) | (place >= size), 0.0, weight)
        weights.append(weight)
        places.append(np.clip(place, 0, size - 1))
    total = np.sum(weights, axis=0)
    for place, weight in zip(places, weights, strict=True):
        np.add.at(matrix, (rows, place), weight / total)
    return matrix


def _coordinates(size: int, wanted: int, scale: float, mode: str) -> Array:
    i = np.arange(wanted, dtype=np.float64)
    if mode == "asymmetric":
        return i / scale
    if mode == "align_corners":
        return i * (size - 1) / (wanted - 1) if wanted > 1 else np.zeros(1)
    if mode == "half_pixel_or_start" and wanted == 1:
        return np.zeros(1)
    if mode == "half_pixel_symmetric":
        adjustment = wanted / (scale * size)
        return size / 2 * (1 - adjustment) + (i + 0.5) / scale - 0.5
    if mode in {"half_pixel", "half_pixel_or_start"}:
        return (i + 0.5) / scale - 0.5
    raise Unsupported(mode)


def _is_multiplied(settings: Resize) -> bool:
    return settings.inverse and settings.coordinates in {"asymmetric", "half_pixel"}


def _multiplied(rows: Array, scale: float, mode: str) -> Array:
    """Places as PyTorch's kernels for nearest neighbours compute them (UpSample.h, nearest_idx)."""
    half = np.float32(0.5 if mode == "half_pixel" else 0.0)
    places: Array = (rows.astype(np.float32) + half) * np.float32(1 / scale)
    return np.asarray(places.astype(np.float64) - half)


def _rounded(at: Array, rounding: str) -> Array:
    if rounding == "floor":
        found = np.floor(at)
    elif rounding == "ceil":
        found = np.ceil(at)
    elif rounding == "round_prefer_floor":
        found = np.ceil(at - 0.5)
    else:
        found = np.floor(at + 0.5)
    return found.astype(int)


def _kernel(distance: Array, settings: Resize) -> Array:
    x = np.abs(distance)
    if settings.mode == "linear":
        triangle: Array = np.maximum(1 - x, 0.0)
        return triangle
    a = settings.cubic_a
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
