"""Two tensors as small pictures, histograms and their worst elements; see ``aligner.records.preview``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from aligner.diff.drawing import folded, grid, picture, squared, value_range
from aligner.records.array import Array, Wide
from aligner.records.preview import Histogram, Preview, WorstElement

if TYPE_CHECKING:
    from numpy.typing import NDArray


SIDE, TILES, BINS, WORST = 128, 16, 40, 5
"""Pixels along a picture's longer side, most tiles, bins of a histogram, worst elements."""


def preview(
    reference: Array,
    candidate: Array,
    *,
    pair: int,
    error: Literal["local", "accumulated"],
    channels: Literal["first", "last"] = "first",
) -> Preview | None:
    """Pictures of two tensors of one shape, in the reference's axis order; None where there is nothing to see."""
    if reference.shape != candidate.shape or reference.size < 2 or reference.dtype.kind not in "fiub":
        return None
    with np.errstate(all="ignore"):
        apart = np.abs(candidate.astype(np.float64) - reference.astype(np.float64))
        (planes, axis), (others, _), (difference, _) = (
            _planes(array, channels) for array in (reference, candidate, apart)
        )
        chosen = _worst_planes(difference)
        columns = math.ceil(math.sqrt(len(chosen)))
        size = SIDE // columns
        stacks = [squared(stack[chosen]) for stack in (planes, others, difference)]
        grids = [grid(stack, columns, size, stack is stacks[2]) for stack in stacks]
    low, high = value_range(*stacks[:2])
    _, worst = value_range(stacks[2])
    return Preview(
        pair=pair,
        error=error,
        axis=axis,
        channels=tuple(int(place) for place in chosen),
        columns=columns,
        reference=picture(grids[0], low, high),
        candidate=picture(grids[1], low, high),
        difference=picture(grids[2], 0.0, worst),
        histogram=_histogram(reference, candidate),
        worst=_worst_elements(reference, candidate),
    )


def _planes(array: Array, channels: str) -> tuple[Wide, int | None]:
    """The first sample as a stack of planes [tiles, height, width], and the axis the tiles come from."""
    values = array.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    dropped = 0
    while values.ndim > 3 or (values.ndim == 3 and values.shape[0] == 1):
        values = values[0]
        dropped += 1
    if values.ndim == 3:
        if channels == "last" and array.ndim == 4:
            return np.moveaxis(values, -1, 0), array.ndim - 1
        return values, dropped
    if values.ndim == 2 and 1 not in values.shape:
        return values[None], None
    return folded(values.reshape(-1))[None], None


def _worst_planes(difference: Wide) -> NDArray[np.intp]:
    """The planes with the largest differences, in their own order; those with NaN first of all."""
    if len(difference) <= TILES:
        return np.arange(len(difference))
    largest = difference.reshape(len(difference), -1).max(axis=1)
    return np.sort(np.argsort(-np.where(np.isnan(largest), np.inf, largest), kind="stable")[:TILES])


def _histogram(reference: Array, candidate: Array) -> Histogram | None:
    sides = [array[np.isfinite(array)].astype(np.float64) for array in (reference, candidate)]
    low, high = value_range(*sides)
    if not low < high or not math.isfinite(high - low):
        return None
    counts = [np.histogram(side, bins=BINS, range=(low, high))[0] for side in sides]
    first, second = (tuple(int(many) for many in side) for side in counts)
    return Histogram(low, high, first, second)


def _worst_elements(reference: Array, candidate: Array) -> tuple[WorstElement, ...]:
    ours: Any = reference.astype(np.float64).reshape(-1)
    theirs: Any = candidate.astype(np.float64).reshape(-1)
    with np.errstate(all="ignore"):
        magnitude = np.abs(theirs - ours)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    magnitude = np.where(same, 0.0, np.where(np.isfinite(magnitude), magnitude, np.inf))
    many = min(WORST, magnitude.size)
    places = np.argpartition(-magnitude, many - 1)[:many]
    places = places[np.lexsort((places, -magnitude[places]))]
    return tuple(
        WorstElement(_index(place, reference.shape), float(ours[place]), float(theirs[place]))
        for place in places
        if magnitude[place] > 0
    )


def _index(place: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(part) for part in np.unravel_index(place, shape))
