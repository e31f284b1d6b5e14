"""Grey pictures of planes of numbers: grids of tiles, shrunk where they are large, one scale for several."""

from __future__ import annotations

import math

import numpy as np

from aligner.records.array import Wide
from aligner.records.preview import BLANK, NOT_FINITE, Picture

_LEVELS = BLANK - 1
_STRIP = 8
"""How many times longer than wide a plane must be to count as a strip."""

NOTHING = float("-inf")
"""Stands for what is no part of the tensor, while it is drawn; what is not finite in the tensor is NaN then."""


def folded(line: Wide) -> Wide:
    """A line of numbers as rows of a near-square, padded at its end."""
    width = math.ceil(math.sqrt(line.size))
    height = math.ceil(line.size / width)
    rows = np.full(height * width, NOTHING)
    rows[: line.size] = line
    return rows.reshape(height, width)


def squared(planes: Wide) -> Wide:
    """Planes [tiles, height, width] that are long strips, cut into pieces that lie side by side; others as they are."""
    tiles, height, width = planes.shape
    if width > _STRIP * height:
        turned: Wide = squared(planes.swapaxes(1, 2)).swapaxes(1, 2)
        return turned
    if height <= _STRIP * width:
        return planes
    pieces = round(math.sqrt(height / width))
    length = math.ceil(height / pieces)
    padded = np.full((tiles, pieces * length, width), NOTHING)
    padded[:, :height] = planes
    cut: Wide = padded.reshape(tiles, pieces, length, width).swapaxes(1, 2)
    return cut.reshape(tiles, length, pieces * width)


def grid(planes: Wide, columns: int, size: int, largest: bool) -> Wide:
    """Planes side by side, each shrunk to ``size``, a line of nothing between them."""
    tiles = [_shrunk(plane, size, largest) for plane in planes]
    height, width = tiles[0].shape
    rows = math.ceil(len(tiles) / columns)
    gap = 1 if len(tiles) > 1 else 0
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), NOTHING)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        whole[top : top + height, left : left + width] = tile
    return whole


def _shrunk(plane: Wide, size: int, largest: bool) -> Wide:
    """Blocks of elements as one pixel each: their mean, or the largest; never enlarged."""
    step = max(1, math.ceil(max(plane.shape) / size))
    if step == 1:
        return plane
    edges = [np.arange(0, length, step) for length in plane.shape]
    if largest:
        shrunk: Wide = np.maximum.reduceat(np.maximum.reduceat(plane, edges[0], axis=0), edges[1], axis=1)
        return shrunk
    total = np.add.reduceat(np.add.reduceat(plane, edges[0], axis=0), edges[1], axis=1)
    counts = [np.diff(np.append(edge, length)) for edge, length in zip(edges, plane.shape, strict=True)]
    mean: Wide = total / np.outer(*counts)
    return mean


def value_range(*arrays: Wide) -> tuple[float, float]:
    """Least and largest finite element of all."""
    finite = [array[np.isfinite(array)] for array in arrays]
    lows = [float(values.min()) for values in finite if values.size]
    highs = [float(values.max()) for values in finite if values.size]
    return (min(lows), max(highs)) if lows else (0.0, 0.0)


def picture(pixels: Wide, low: float, high: float) -> Picture:
    """Numbers as grey levels of the scale from ``low`` to ``high``."""
    span = high - low
    finite = np.isfinite(pixels)
    scaled = np.zeros_like(pixels) if span <= 0 or not math.isfinite(span) else (pixels - low) / span * _LEVELS
    levels = np.rint(np.clip(np.where(finite, scaled, 0.0), 0, _LEVELS))
    levels[~finite] = NOT_FINITE
    levels[pixels == NOTHING] = BLANK
    height, width = pixels.shape
    return Picture(height, width, low, high, levels.astype(np.uint8).tobytes())
