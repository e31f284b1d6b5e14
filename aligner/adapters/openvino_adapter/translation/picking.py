"""What picks and places elements: slices, lookups, gathers, scatters, choices, orders."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Along,
    GatherNd,
    Index,
    NonZero,
    OneHot,
    ScatterElements,
    ScatterNd,
    Slice,
    Sort,
)

_TO_THE_END = 2**63 - 1


def _slice(call: Call) -> Operation:
    """Operands input, starts, stops, steps, axes."""
    x, starts, stops, steps = call.need(0), call.need_integers(1), call.need_integers(2), call.need_integers(3)
    axes = tuple(axis % x.ndim for axis in call.integers(4) or range(len(starts)))
    return Operation("slice", Slice(places=tuple(zip(axes, starts, stops, steps, strict=True))), (x,))


def _strided_slice(call: Call) -> Operation:
    """Operands input, begin, end, strides; a mask has a number for each axis that is spoken of."""
    x, begins, ends = call.need(0), call.need_integers(1), call.need_integers(2)
    steps = call.integers(3) or (1,) * len(begins)
    masks = {
        name: call.numbers(f"{name}_mask") or () for name in ("begin", "end", "new_axis", "shrink_axis", "ellipsis")
    }
    index: list[Any] = []
    for place, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        said = {name for name, mask in masks.items() if place < len(mask) and mask[place]}
        if "ellipsis" in said:
            index.append(Ellipsis)
        elif "new_axis" in said:
            index.append(None)
        elif "shrink_axis" in said:
            index.append(begin)
        else:
            index.append(slice(None if "begin" in said else begin, None if "end" in said else end, step))
    if all(isinstance(item, slice) and item.step > 0 for item in index):
        places = tuple(
            (axis, s.start or 0, _TO_THE_END if s.stop is None else s.stop, s.step) for axis, s in enumerate(index)
        )
        return Operation("slice", Slice(places=places), (x,))
    return Operation("index", Index(index=tuple(index)), (x,))


_MASKS = ("begin", "end", "new_axis", "shrink_axis", "ellipsis")


def _gather(call: Call) -> Operation:
    """Operands table, indices, axis."""
    if call.integer("batch", default=0):
        raise call.unknown("batches")
    table = call.need(0)
    axis = call.need_integers(2)[0] % table.ndim
    return Operation("lookup", Along(axis=axis), (call.need(1),), {"table": table})


def _gather_elements(call: Call) -> Operation:
    x = call.need(0)
    return Operation("gather_elements", Along(axis=call.integer("axis", default=0) % x.ndim), (x, call.need(1)))


def _gather_nd(call: Call) -> Operation:
    return Operation("gather_nd", GatherNd(batch=call.integer("batch", default=0)), (call.need(0), call.need(1)))


def _scatter_elements(call: Call) -> Operation:
    """Operands input, indices, updates, axis."""
    x, axis = call.need(0), call.need_integers(3)[0]
    if not call.flag("use_init_val", default=True):
        raise call.unknown("sums that leave out what was there")
    settings = ScatterElements(axis=axis % x.ndim, reduction=call.text("reduction", "none"))
    return Operation("scatter_elements", settings, (x, call.need(1), call.need(2)))


def _scatter_nd(call: Call) -> Operation:
    settings = ScatterNd(reduction=call.text("reduction", "none"))
    return Operation("scatter_nd", settings, (call.need(0), call.need(1), call.need(2)))


def _scatter(call: Call) -> Operation:
    """Operands input, indices, updates, axis: whole slices along the axis are replaced."""
    import numpy as np

    x, indices, updates = call.need(0), call.need(1), call.need(2)
    axis = call.need_integers(3)[0] % x.ndim
    if axis:
        raise call.unknown("slices along another axis than the first")
    places = np.where(indices < 0, indices + x.shape[0], indices)[..., None]
    return Operation("scatter_nd", ScatterNd(reduction="none"), (x, places, updates))


def _one_hot(call: Call) -> Operation:
    """Operands indices, depth, on, off."""
    indices, depth = call.need(0), call.need_integers(1)[0]
    settings = OneHot(depth=depth, axis=call.integer("axis", default=-1) % (indices.ndim + 1), wrap=False)
    return Operation("one_hot", settings, (indices, call.need(2), call.need(3)))


def _select(call: Call) -> Operation:
    return Operation("where", {}, (call.need(0), call.need(1), call.need(2)))


def _nonzero(call: Call) -> Operation:
    return Operation("nonzero", NonZero(turned=True), (call.need(0),))


def _top_k(call: Call) -> Operation:
    """Operands input, count."""
    x = call.need(0)
    if call.text("sort", "value") != "value":
        raise call.unknown("results in no order, or in that of their places")
    settings = Sort(
        axis=call.integer("axis", default=-1) % x.ndim,
        largest=call.text("mode", "max") == "max",
        count=call.need_integers(1)[0],
    )
    return Operation("sort", settings, (x,))


WORDS: Vocabulary = {
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "ScatterElementsUpdate": _scatter_elements,
    "ScatterNDUpdate": _scatter_nd,
    "ScatterUpdate": _scatter,
    "OneHot": _one_hot,
    "Select": _select,
    "NonZero": _nonzero,
    "TopK": _top_k,
}
