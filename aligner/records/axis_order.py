"""Carry a reference tensor into the candidate's axis order and back, as views where numpy can.

``axes`` are those of ``PairedValues``: of the reference's axes, or, where the candidate has the finer ones, of the
reference's axes split as the candidate's are. None means one order of elements, however grouped into axes.
"""

from __future__ import annotations

import math
from itertools import accumulate
from operator import mul

from aligner.records.array import Array

Shape = tuple[int, ...]


def to_candidate(reference: Array, axes: Shape | None, shape: Shape) -> Array | None:
    """The reference in the candidate's order and ``shape``; None if it does not fit."""
    if not fits(reference.shape, axes, shape):
        return None
    if axes is None:
        return reference.reshape(shape)
    moved: Array = reference.reshape(split_axes(reference.shape, axes, shape)).transpose(axes).reshape(shape)
    return moved


def to_reference(candidate: Array, axes: Shape | None, shape: Shape) -> Array | None:
    """The candidate in the reference's order and ``shape``; None if it does not fit."""
    if not fits(shape, axes, candidate.shape):
        return None
    if axes is None:
        return candidate.reshape(shape)
    split = split_axes(shape, axes, candidate.shape)
    back = sorted(range(len(axes)), key=axes.__getitem__)
    moved: Array = candidate.reshape([split[axis] for axis in axes]).transpose(back).reshape(shape)
    return moved


def fits(reference: Shape, axes: Shape | None, candidate: Shape) -> bool:
    """Whether the two shapes are one up to that order of axes, their grouping, and axes of length one."""
    if axes is None:
        return groups_alike(reference, candidate)
    split = split_axes(reference, axes, candidate)
    if len(split) != len(axes) or math.prod(split) != math.prod(reference) or not groups_alike(reference, split):
        return False
    return groups_alike(tuple(split[axis] for axis in axes), candidate)


def groups_alike(shape: Shape, other: Shape) -> bool:
    """Whether two shapes of one size only split or merge each other's axes, none cutting across another."""
    if shape == other:
        return True
    ends, other_ends = (set(accumulate(reversed(dims), mul, initial=1)) for dims in (shape, other))
    return math.prod(shape) == math.prod(other) and (ends <= other_ends or other_ends <= ends)


def split_axes(reference: Shape, axes: Shape, candidate: Shape) -> Shape:
    """The reference's shape with its axes as fine as ``axes`` speaks of them."""
    if len(axes) == len(reference):
        moved = tuple(reference[axis] for axis in axes)
        if groups_alike(moved, candidate):
            return reference
    if len(axes) != len(candidate):
        return reference
    lengths = dict(zip(axes, candidate, strict=True))
    return tuple(lengths[place] for place in range(len(axes)))
