"""What picks and places elements: slices, lookups, gathers, scatters, choices, triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.operation import Operation, computes, computes_by
from aligner.operations.settings import (
    Along,
    ArgMax,
    GatherNd,
    Index,
    NonZero,
    OneHot,
    ScatterElements,
    ScatterNd,
    Slice,
    Sort,
    Triangle,
)
from aligner.records.array import Array


@computes_by(Index, "index")
def pick(operation: Operation, settings: Index) -> Array:
    """Numpy's own meaning of the brackets."""
    picked: Array = operation.data[0][settings.index]
    return picked


@computes_by(Index, "put")
def put(operation: Operation, settings: Index) -> Array:
    """The first operand, with the second where the brackets point."""
    x, updates = operation.data
    result: Array = x.copy()
    result[settings.index] = updates
    return result


@computes_by(Slice, "slice")
def cut(operation: Operation, settings: Slice) -> Array:
    """Parts of some axes."""
    x = operation.data[0]
    index = [slice(None)] * x.ndim
    for axis, start, end, step in settings.places:
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


@computes_by(Along, "lookup")
def look_up(operation: Operation, settings: Along) -> Array:
    """``numpy.take``; indices out of range wrap around."""
    table = operation.parameters["table"]
    return np.take(table, operation.data[0].astype(np.int64), axis=settings.axis, mode="wrap")


@computes_by(Along, "gather_elements")
def gather_elements(operation: Operation, settings: Along) -> Array:
    """One element for each index, along an axis."""
    x, indices = operation.data
    axis = settings.axis
    place: Any = list(np.indices(indices.shape, sparse=True))
    place[axis] = indices.astype(np.int64)
    picked: Array = x[tuple(place)]
    return picked


@computes_by(GatherNd, "gather_nd")
def gather_nd(operation: Operation, settings: GatherNd) -> Array:
    """The last axis of the indices names a place; ``batch`` axes in front are shared."""
    x, indices, batch = operation.data[0], operation.data[1].astype(np.int64), settings.batch
    lead: Any = np.indices(indices.shape[:batch], sparse=True)
    across = [part.reshape(*part.shape, *(1,) * (indices.ndim - 1 - batch)) for part in lead]
    place: Any = (*across, *np.moveaxis(indices, -1, 0))
    gathered: Array = x[place]
    return gathered


_UPDATES = {"none": None, "add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}


def _place(x: Array, place: Any, updates: Array, reduction: str) -> Array:
    result: Array = x.copy()
    word = _UPDATES[reduction]
    if word is None:
        result[place] = updates
    else:
        getattr(np, word).at(result, place, updates)
    return result


@computes_by(ScatterElements, "scatter_elements")
def scatter_elements(operation: Operation, settings: ScatterElements) -> Array:
    """One element for each index, along an axis."""
    x, indices, updates = operation.data
    place: Any = list(np.indices(indices.shape, sparse=True))
    place[settings.axis] = indices.astype(np.int64)
    inside = tuple(slice(size) for size in indices.shape)
    return _place(x, tuple(place), updates[inside] if updates.ndim else updates, settings.reduction)


@computes_by(ScatterNd, "scatter_nd")
def scatter_nd(operation: Operation, settings: ScatterNd) -> Array:
    """The last axis of the indices names a place."""
    x, indices, updates = operation.data
    return _place(x, tuple(np.moveaxis(indices.astype(np.int64), -1, 0)), updates, settings.reduction)


@computes_by(OneHot, "one_hot")
def one_hot(operation: Operation, settings: OneHot) -> Array:
    """``on`` at each index along a new axis, ``off`` elsewhere; an index out of range has no place."""
    indices, on, off = operation.data
    depth, axis = settings.depth, settings.axis
    indices = indices.astype(np.int64)
    wrapped = np.where(indices < 0, indices + depth, indices) if settings.wrap else indices
    hit = np.expand_dims(wrapped, -1) == np.arange(depth)
    return np.moveaxis(np.where(hit, on, off), -1, axis)


@computes("where")
def choose(operation: Operation) -> Array:
    """Element by element."""
    condition, left, right = operation.data
    return np.where(condition.astype(bool), left, right)


@computes_by(NonZero, "nonzero")
def nonzero(operation: Operation, settings: NonZero) -> Array:
    """The places of what is not zero: [count, rank], or [rank, count] where ``turned``."""
    found = np.argwhere(operation.data[0])
    return found.T if settings.turned else found


@computes_by(Triangle, "triangle")
def triangle(operation: Operation, settings: Triangle) -> Array:
    """The last two axes above or below a diagonal; zeros elsewhere."""
    keep = np.triu if settings.upper else np.tril
    return keep(operation.data[0], settings.diagonal)


@computes_by(ArgMax, "argmax")
def arg_max(operation: Operation, settings: ArgMax) -> Array:
    """The first or last place of the largest or smallest; of the flattened tensor where the axis is None."""
    x = operation.data[0]
    find = np.argmax if settings.largest else np.argmin
    axis, keep = settings.axis, settings.keep
    if not settings.last or axis is None:
        return np.asarray(find(x, axis=axis, keepdims=keep))
    return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep))


@computes_by(Sort, "sort")
def sort(operation: Operation, settings: Sort) -> tuple[Array, Array]:
    """Values and where they were, the first ``count`` of them (all where that is None); equals stay in order."""
    x = operation.data[0]
    axis = settings.axis
    if settings.largest:
        order = np.flip(np.flip(x, axis).argsort(axis=axis, kind="stable"), axis)
        order = x.shape[axis] - 1 - order
    else:
        order = x.argsort(axis=axis, kind="stable")
    count = settings.count
    order = order if count is None else np.take(order, np.arange(count), axis=axis)
    return np.take_along_axis(x, order, axis), order
