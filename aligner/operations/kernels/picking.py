"""What picks and places elements: slices, lookups, gathers, scatters, choices, triangles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Operation, computes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@computes("index")
def pick(operation: Operation) -> Array:
    """Numpy's own meaning of the brackets."""
    picked: Array = operation.data[0][operation.settings["index"]]
    return picked


@computes("slice")
def cut(operation: Operation) -> Array:
    """Parts of some axes."""
    x = operation.data[0]
    index = [slice(None)] * x.ndim
    for axis, start, end, step in operation.settings["places"]:
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


@computes("lookup")
def look_up(operation: Operation) -> Array:
    """``numpy.take``; indices out of range wrap around."""
    import numpy as np

    table = operation.parameters["table"]
    return np.take(table, operation.data[0].astype(np.int64), axis=operation.settings["axis"], mode="wrap")


@computes("gather_elements")
def gather_elements(operation: Operation) -> Array:
    """One element for each index, along an axis."""
    import numpy as np

    x, indices = operation.data
    axis = operation.settings["axis"]
    place: Any = list(np.indices(indices.shape, sparse=True))
    place[axis] = indices.astype(np.int64)
    picked: Array = x[tuple(place)]
    return picked


@computes("gather_nd")
def gather_nd(operation: Operation) -> Array:
    """The last axis of the indices names a place; ``batch`` axes in front are shared."""
    import numpy as np

    x, indices, batch = operation.data[0], operation.data[1].astype(np.int64), operation.settings["batch"]
    lead: Any = np.indices(indices.shape[:batch], sparse=True)
    across = [part.reshape(*part.shape, *(1,) * (indices.ndim - 1 - batch)) for part in lead]
    place: Any = (*across, *np.moveaxis(indices, -1, 0))
    gathered: Array = x[place]
    return gathered


_UPDATES = {"none": None, "add": "add", "mul": "multiply", "max": "maximum", "min": "minimum"}


def _place(x: Array, place: Any, updates: Array, reduction: str) -> Array:
    import numpy as np

    result: Array = x.copy()
    word = _UPDATES[reduction]
    if word is None:
        result[place] = updates
    else:
        getattr(np, word).at(result, place, updates)
    return result


@computes("scatter_elements")
def scatter_elements(operation: Operation) -> Array:
    """One element for each index, along an axis."""
    import numpy as np

    x, indices, updates = operation.data
    place: Any = list(np.indices(indices.shape, sparse=True))
    place[operation.settings["axis"]] = indices.astype(np.int64)
    inside = tuple(slice(size) for size in indices.shape)
    return _place(x, tuple(place), updates[inside] if updates.ndim else updates, operation.settings["reduction"])


@computes("scatter_nd")
def scatter_nd(operation: Operation) -> Array:
    """The last axis of the indices names a place."""
    import numpy as np

    x, indices, updates = operation.data
    return _place(x, tuple(np.moveaxis(indices.astype(np.int64), -1, 0)), updates, operation.settings["reduction"])


@computes("one_hot")
def one_hot(operation: Operation) -> Array:
    """``on`` at each index along a new axis, ``off`` elsewhere; an index out of range has no place."""
    import numpy as np

    indices, on, off = operation.data
    depth, axis = operation.settings["depth"], operation.settings["axis"]
    indices = indices.astype(np.int64)
    wrapped = np.where(indices < 0, indices + depth, indices) if operation.settings["wrap"] else indices
    hit = np.expand_dims(wrapped, -1) == np.arange(depth)
    return np.moveaxis(np.where(hit, on, off), -1, axis)


@computes("where")
def choose(operation: Operation) -> Array:
    """Element by element."""
    import numpy as np

    condition, left, right = operation.data
    return np.where(condition.astype(bool), left, right)


@computes("nonzero")
def nonzero(operation: Operation) -> Array:
    """The places of what is not zero: [count, rank], or [rank, count] where ``turned``."""
    import numpy as np

    found = np.argwhere(operation.data[0])
    return found.T if operation.settings["turned"] else found


@computes("triangle")
def triangle(operation: Operation) -> Array:
    """The last two axes above or below a diagonal; zeros elsewhere."""
    import numpy as np

    keep = np.triu if operation.settings["upper"] else np.tril
    return keep(operation.data[0], operation.settings["diagonal"])


@computes("argmax")
def arg_max(operation: Operation) -> Array:
    """The first or last place of the largest or smallest; of the flattened tensor where the axis is None."""
    import numpy as np

    x, settings = operation.data[0], operation.settings
    find = np.argmax if settings["largest"] else np.argmin
    axis, keep = settings["axis"], settings["keep"]
    if not settings["last"]:
        return np.asarray(find(x, axis=axis, keepdims=keep))
    return np.asarray(x.shape[axis] - 1 - find(np.flip(x, axis), axis=axis, keepdims=keep))


@computes("sort")
def sort(operation: Operation) -> tuple[Array, Array]:
    """Values and where they were, the first ``count`` of them (all where that is None); equals stay in order."""
    import numpy as np

    x, settings = operation.data[0], operation.settings
    axis = settings["axis"]
    if settings["largest"]:
        order = np.flip(np.flip(x, axis).argsort(axis=axis, kind="stable"), axis)
        order = x.shape[axis] - 1 - order
    else:
        order = x.argsort(axis=axis, kind="stable")
    count = settings["count"]
    order = order if count is None else np.take(order, np.arange(count), axis=axis)
    return np.take_along_axis(x, order, axis), order
