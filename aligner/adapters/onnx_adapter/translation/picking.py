"""What picks and places elements: slices, lookups, gathers, scatters, choices, orders."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    Along,
    ArgMax,
    GatherNd,
    NonZero,
    OneHot,
    ScatterElements,
    ScatterNd,
    Slice,
    Sort,
    Triangle,
)


def _slice(call: Call) -> Operation:
    """Operands data, starts, ends, axes, steps; before version 10 attributes."""
    x = call.need(0)
    if call.operand(1) is not None:
        starts, ends, axes, steps = call.need_integers(1), call.need_integers(2), call.integers(3), call.integers(4)
    else:
        starts, ends, axes = (call.numbers(name) for name in ("starts", "ends", "axes"))  # type: ignore[assignment]
        steps = None
    if starts is None or ends is None:
        raise call.unknown("a slice of unknown bounds")
    axes = tuple(int(axis) % x.ndim for axis in axes) if axes else tuple(range(len(starts)))
    steps = steps or (1,) * len(starts)
    return Operation("slice", Slice(places=tuple(zip(axes, starts, ends, steps, strict=True))), (x,))


def _gather(call: Call) -> Operation:
    axis = call.integer("axis", default=0)
    return Operation("lookup", Along(axis=axis), (call.need(1),), {"table": call.need(0)})


def _gather_elements(call: Call) -> Operation:
    x = call.need(0)
    return Operation("gather_elements", Along(axis=call.integer("axis", default=0) % x.ndim), (x, call.need(1)))


def _gather_nd(call: Call) -> Operation:
    return Operation("gather_nd", GatherNd(batch=call.integer("batch_dims", default=0)), (call.need(0), call.need(1)))


def _scatter_elements(call: Call) -> Operation:
    x = call.need(0)
    settings = ScatterElements(axis=call.integer("axis", default=0) % x.ndim, reduction=call.text("reduction", "none"))
    return Operation("scatter_elements", settings, (x, call.need(1), call.need(2)))


def _scatter_nd(call: Call) -> Operation:
    settings = ScatterNd(reduction=call.text("reduction", "none"))
    return Operation("scatter_nd", settings, (call.need(0), call.need(1), call.need(2)))


def _one_hot(call: Call) -> Operation:
    indices, depth, values = call.need(0), call.need_integers(1)[0], call.need(2)
    axis = call.integer("axis", default=-1) % (indices.ndim + 1)
    settings = OneHot(depth=depth, axis=axis, wrap=True)
    return Operation("one_hot", settings, (indices, values[1], values[0]))


def _where(call: Call) -> Operation:
    return Operation("where", {}, (call.need(0), call.need(1), call.need(2)))


def _nonzero(call: Call) -> Operation:
    return Operation("nonzero", NonZero(turned=True), (call.need(0),))


def _triangle(call: Call) -> Operation:
    diagonal = call.integers(1)
    settings = Triangle(upper=call.flag("upper", default=True), diagonal=diagonal[0] if diagonal else 0)
    return Operation("triangle", settings, (call.need(0),))


def _arg_max(call: Call) -> Operation:
    x = call.need(0)
    settings = ArgMax(
        largest=call.node.op == "ArgMax",
        axis=call.integer("axis", default=0) % x.ndim,
        keep=call.flag("keepdims", default=True),
        last=call.flag("select_last_index"),
    )
    return Operation("argmax", settings, (x,))


def _top_k(call: Call) -> Operation:
    x, count = call.need(0), call.integers(1)
    if not call.flag("sorted", default=True):
        raise call.unknown("results in no order")
    settings = Sort(
        axis=call.integer("axis", default=-1) % x.ndim,
        largest=call.flag("largest", default=True),
        count=count[0] if count else call.integer("k"),
    )
    return Operation("sort", settings, (x,))


def _compress(call: Call) -> Operation:
    import numpy as np

    x, axis = call.need(0), call.attributes.get("axis")
    chosen = np.flatnonzero(call.need(1))
    if not isinstance(axis, int):
        return Operation("lookup", Along(axis=0), (chosen,), {"table": x.reshape(-1)})
    return Operation("lookup", Along(axis=axis % x.ndim), (chosen,), {"table": x})


WORDS: Vocabulary = {
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Scatter": _scatter_elements,
    "ScatterElements": _scatter_elements,
    "ScatterND": _scatter_nd,
    "OneHot": _one_hot,
    "Where": _where,
    "NonZero": _nonzero,
    "Trilu": _triangle,
    "ArgMax": _arg_max,
    "ArgMin": _arg_max,
    "TopK": _top_k,
    "Compress": _compress,
}
