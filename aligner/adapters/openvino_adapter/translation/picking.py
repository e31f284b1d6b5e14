"""What picks and places elements: slices, lookups, gathers, scatters, choices, orders."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import (
    gather_elements,
    gather_nd,
    lookup,
    one_hot,
    scatter_elements,
    scatter_nd,
    simple,
    strided_slice,
)
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    NonZero,
    ScatterNd,
    Slice,
    Sort,
)


def _slice(call: Call) -> Operation:
    """Operands input, starts, stops, steps, axes."""
    x, starts, stops, steps = call.need(0), call.need_integers(1), call.need_integers(2), call.need_integers(3)
    axes = tuple(axis % x.ndim for axis in call.integers(4) or range(len(starts)))
    return Operation("slice", Slice(places=tuple(zip(axes, starts, stops, steps, strict=True))), (x,))


def _strided_slice(call: Call) -> Operation:
    """A mask has a number for each axis that is spoken of."""

    def said(name: str, place: int) -> bool:
        mask = call.numbers(f"{name}_mask") or ()
        return place < len(mask) and bool(mask[place])

    return strided_slice(call, said)


def _gather(call: Call) -> Operation:
    """Operands table, indices, axis."""
    if call.integer("batch", default=0):
        raise call.unknown("batches")
    table = call.need(0)
    return lookup(table, call.need(1), call.need_integers(2)[0] % table.ndim)


def _scatter_elements(call: Call) -> Operation:
    """Operands input, indices, updates, axis."""
    if not call.flag("use_init_val", default=True):
        raise call.unknown("sums that leave out what was there")
    return scatter_elements(call, call.need_integers(3)[0])


def _scatter(call: Call) -> Operation:
    """Operands input, indices, updates, axis: whole slices along the axis are replaced."""
    x, indices, updates = call.need(0), call.need(1), call.need(2)
    axis = call.need_integers(3)[0] % x.ndim
    if axis:
        raise call.unknown("slices along another axis than the first")
    places = np.where(indices < 0, indices + x.shape[0], indices)[..., None]
    return Operation("scatter_nd", ScatterNd(reduction="none"), (x, places, updates))


def _top_k(call: Call) -> Operation:
    """Operands input, count."""
    x = call.need(0)
    if call.text("sort", "value") != "value":
        raise call.unknown("results in no order, or in that of their places")
    settings = Sort(
        axis=call.axis(x.ndim, -1),
        largest=call.text("mode", "max") == "max",
        count=call.need_integers(1)[0],
    )
    return Operation("sort", settings, (x,))


WORDS: Vocabulary = {
    "Slice": _slice,
    "StridedSlice": _strided_slice,
    "Gather": _gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ScatterElementsUpdate": _scatter_elements,
    "ScatterNDUpdate": scatter_nd,
    "ScatterUpdate": _scatter,
    "OneHot": one_hot,
    "Select": simple("where", 3),
    "NonZero": simple("nonzero", 1, NonZero(turned=True)),
    "TopK": _top_k,
}
