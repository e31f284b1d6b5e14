"""A weight of both sides as small pictures: outputs by inputs, each kernel a tile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from aligner.diff.drawing import folded, grid, picture, squared, value_range
from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass
from aligner.records.dissection import WeightPictures

if TYPE_CHECKING:
    from numpy.typing import NDArray


SIDE = 96
"""Pixels along a picture's longer side: three of them for each of a dozen culprits have to stay small."""


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Which slices of a weight [out, in, height, width] are shown."""

    outputs: NDArray[np.intp]
    inputs: NDArray[np.intp]


def weight_pictures(reference: Array, candidate: Array) -> WeightPictures | None:
    """Both weights on one scale and |candidate − reference|; None where there is nothing to see.

    A kernel [out, in, *spatial] becomes a grid with a row for each output and a column for each input, a matrix one
    plane, a vector a folded line. Where not all channels fit, those that differ most are shown.
    """
    if reference.shape != candidate.shape or reference.size < 2 or reference.dtype.kind not in "fiub":
        return None
    with np.errstate(all="ignore"):
        both = [np.where(np.isfinite(side), side, np.nan).astype(np.float64) for side in (reference, candidate)]
        trio = [*both, np.abs(both[1] - both[0])]
        if reference.ndim < 3 or math.prod(reference.shape[2:]) == 1:
            drawn, tiles = _planes(trio)
        else:
            drawn, tiles = _kernels(trio)
    low, high = value_range(*both)
    return WeightPictures(
        picture(drawn[0], low, high),
        picture(drawn[1], low, high),
        picture(drawn[2], 0.0, value_range(trio[2])[1]),
        tiles,
    )


def _planes(trio: list[Wide]) -> tuple[list[Wide], str]:
    """Vectors and matrices: one plane."""
    shape = [length for length in trio[0].shape if length > 1]
    flat = len(shape) < 2
    planes = [folded(side.reshape(-1)) if flat else side.reshape(shape[0], -1) for side in trio]
    words = f"{trio[0].size} numbers, row by row" if flat else f"rows: {shape[0]} outputs, columns: {shape[1]} inputs"
    pieces = [squared(plane[None]) for plane in planes]
    if pieces[0].shape[1:] != planes[0].shape:
        words += ", cut into pieces side by side"
    return [grid(piece, 1, SIDE, place == 2) for place, piece in enumerate(pieces)], words


def _kernels(trio: list[Wide]) -> tuple[list[Wide], str]:
    """Kernels as tiles; those of one input each (depthwise) fill the lines like text."""
    cubes = [side.reshape(*side.shape[:2], -1, side.shape[-1]) for side in trio]
    outputs, inputs, height, width = cubes[0].shape
    size = f"{height}×{width}"
    if inputs == 1:
        most = (max(SIDE // (height + 1), 1)) * (max(SIDE // (width + 1), 1))
        chosen = _Chosen(_worst(cubes[2], 0, most), _worst(cubes[2], 1, 1))
        columns = max(min(math.ceil(math.sqrt(len(chosen.outputs))), SIDE // (width + 1)), 1)
        words = f"kernels {size} of {_some(len(chosen.outputs), outputs)} channels"
    else:
        chosen = _Chosen(
            _worst(cubes[2], 0, max(SIDE // (height + 1), 1)), _worst(cubes[2], 1, max(SIDE // (width + 1), 1))
        )
        columns = len(chosen.inputs)
        rows = f"rows: {_some(len(chosen.outputs), outputs)} outputs"
        words = f"{rows}, columns: {_some(columns, inputs)} inputs, kernels {size}"
    picked = [side[chosen.outputs][:, chosen.inputs].reshape(-1, height, width) for side in cubes]
    return [grid(planes, columns, SIDE, place == 2) for place, planes in enumerate(picked)], words


def _worst(difference: Wide, axis: int, most: int) -> NDArray[np.intp]:
    """Slices along an axis with the largest differences, in their own order."""
    many = difference.shape[axis]
    if many <= most:
        return np.arange(many)
    largest = np.moveaxis(difference, axis, 0).reshape(many, -1).max(axis=1)
    order = np.argsort(-np.where(np.isnan(largest), np.inf, largest), kind="stable")
    return np.sort(order[:most])


def _some(shown: int, many: int) -> str:
    return str(many) if shown == many else f"the {shown} most different of {many}"
