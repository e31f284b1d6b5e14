"""Sampling at places that a grid names."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from aligner.operations.operation import Operation, Unsupported, channels_back, channels_first, computes_by, wide
from aligner.operations.settings import GridSample
from aligner.records.array import Array


@computes_by(GridSample, "grid_sample")
def sample(operation: Operation, settings: GridSample) -> Array:
    """x [N, C, *spatial] at grid [N, *out, rank], whose last axis counts from the last spatial axis, in −1 … 1.

    Settings mode (nearest, linear, cubic), padding (zeros, border, reflection), align_corners. ONNX, GridSample.
    """
    x, grid = wide(channels_first(operation.data[0], settings.channels)), operation.data[1]
    if settings.mode != "nearest":  # which place is a tie is a matter of the runtime's bits
        grid = wide(grid)
    rank = x.ndim - 2
    sizes = x.shape[2:]
    places = [_unnormalised(grid[..., rank - 1 - axis], sizes[axis], settings) for axis in range(rank)]
    if settings.mode != "cubic":  # a cubic kernel pads each of the places it reads
        places = [_inside(place, size, settings) for place, size in zip(places, sizes, strict=True)]
    taps = [_taps(place, settings.mode) for place in places]
    result = np.zeros((x.shape[0], x.shape[1], *grid.shape[1:-1]), dtype=np.result_type(x, grid))
    for choice in product(*taps):
        weight = np.prod([weight for _, weight in choice], axis=0)
        result += weight[:, None] * _read(x, [place for place, _ in choice], settings)
    return channels_back(result, settings.channels)


def _unnormalised(place: Array, size: int, settings: GridSample) -> Array:
    found: Array = (place + 1) / 2 * (size - 1) if settings.align_corners else ((place + 1) * size - 1) / 2
    return found


def _inside(place: Array, size: int, settings: GridSample) -> Array:
    """Places outside moved to the border or mirrored; with zeros they stay where they are."""
    if settings.padding == "border":
        return np.clip(place, 0, size - 1)
    if settings.padding == "reflection":
        low, high = (0.0, size - 1.0) if settings.align_corners else (-0.5, size - 0.5)
        if high <= low:
            return np.zeros_like(place)
        distance = np.abs(place - low) % (2 * (high - low))
        mirrored = np.where(distance > high - low, 2 * (high - low) - distance, distance) + low
        return np.clip(mirrored, 0, size - 1)
    return place


def _taps(place: Array, mode: str) -> list[tuple[Array, Array]]:
    """The whole places around each, and their weights along one axis."""
    if mode == "nearest":
        return [(np.rint(place), np.ones_like(place))]
    base = np.floor(place)
    t = place - base
    if mode == "linear":
        return [(base, 1 - t), (base + 1, t)]
    if mode != "cubic":
        raise Unsupported(mode)
    return [(base - 1, _far(t + 1)), (base, _near(t)), (base + 1, _near(1 - t)), (base + 2, _far(2 - t))]


_A = -0.75
"""The cubic kernel's constant; both frameworks that sample so have the same."""


def _near(distance: Array) -> Array:
    return ((_A + 2) * distance - (_A + 3)) * distance * distance + 1


def _far(distance: Array) -> Array:
    return ((_A * distance - 5 * _A) * distance + 8 * _A) * distance - 4 * _A


def _read(x: Array, places: list[Array], settings: GridSample) -> Array:
    """x at whole places; what lies outside is 0, or what the padding says."""
    sizes = x.shape[2:]
    if settings.mode == "cubic":
        places = [_inside(place, size, settings) for place, size in zip(places, sizes, strict=True)]
    outside = np.any([(p < 0) | (p > size - 1) for p, size in zip(places, sizes, strict=True)], axis=0)
    whole = [np.clip(place, 0, size - 1).astype(np.int64) for place, size in zip(places, sizes, strict=True)]
    batch = np.arange(x.shape[0]).reshape(-1, *(1,) * (whole[0].ndim - 1))
    index: Any = (batch, slice(None), *whole)
    found = np.moveaxis(x[index], -1, 1)
    return np.where(outside[:, None], 0.0, found)
