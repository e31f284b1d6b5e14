"""What picks and places elements: slices, lookups, gathers, scatters, choices, orders."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import gather_elements, gather_nd, lookup, scatter_elements, scatter_nd, simple
from aligner.operations.operation import Operation
from aligner.operations.settings import (
    ArgMax,
    NonZero,
    OneHot,
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
    return lookup(call.need(0), call.need(1), call.integer("axis", default=0))


def _one_hot(call: Call) -> Operation:
    indices, depth, values = call.need(0), call.need_integers(1)[0], call.need(2)
    settings = OneHot(depth=depth, axis=call.axis(indices.ndim + 1, -1), wrap=True)
    return Operation("one_hot", settings, (indices, values[1], values[0]))


def _triangle(call: Call) -> Operation:
    diagonal = call.integers(1)
    settings = Triangle(upper=call.flag("upper", default=True), diagonal=diagonal[0] if diagonal else 0)
    return Operation("triangle", settings, (call.need(0),))


def _arg_max(call: Call) -> Operation:
    x = call.need(0)
    settings = ArgMax(
        largest=call.node.op == "ArgMax",
        axis=call.axis(x.ndim, 0),
        keep=call.flag("keepdims", default=True),
        last=call.flag("select_last_index"),
    )
    return Operation("argmax", settings, (x,))


def _top_k(call: Call) -> Operation:
    x, count = call.need(0), call.integers(1)
    if not call.flag("sorted", default=True):
        raise call.unknown("results in no order")
    settings = Sort(
        axis=call.axis(x.ndim, -1),
        largest=call.flag("largest", default=True),
        count=count[0] if count else call.integer("k"),
    )
    return Operation("sort", settings, (x,))


def _compress(call: Call) -> Operation:
    x, axis = call.need(0), call.attributes.get("axis")
    chosen = np.flatnonzero(call.need(1))
    if not isinstance(axis, int):
        return lookup(x.reshape(-1), chosen, 0)
    return lookup(x, chosen, axis % x.ndim)


WORDS: Vocabulary = {
    "Slice": _slice,
    "Gather": _gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    **dict.fromkeys(
        ("Scatter", "ScatterElements"), lambda call: scatter_elements(call, call.integer("axis", default=0))
    ),
    "ScatterND": scatter_nd,
    "OneHot": _one_hot,
    "Where": simple("where", 3),
    "NonZero": simple("nonzero", 1, NonZero(turned=True)),
    "Trilu": _triangle,
    "ArgMax": _arg_max,
    "ArgMin": _arg_max,
    "TopK": _top_k,
    "Compress": _compress,
}
