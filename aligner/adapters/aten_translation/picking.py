"""What picks and places elements."""

from __future__ import annotations

import ast
import re
from typing import Any

import numpy as np

from aligner.operations.call import Call, OfKind, Vocabulary
from aligner.operations.forms import TO_THE_END, gather_elements, indexed, lookup
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, ArgMax, Index, OneHot, ScatterElements, Slice, Sort, Triangle

_PART = re.compile(r"\([^()]*\)|[^,()\s]+")
"""One axis of an index: a list of places in brackets, or anything up to the next comma."""


def _get_item(call: Call) -> Operation:
    """What stands between brackets; "tensor" stands for the next operand: whole numbers, or true and false."""
    x, text = call.need(0), call.attributes.get("index")
    if not isinstance(text, str):
        raise call.unknown("an unknown index")
    tensors = iter(call.given[1:])
    index = [_indexed(call, part.strip(), tensors) for part in _PART.findall(text)]
    tables = [place for place, item in enumerate(index) if hasattr(item, "dtype")]
    others = [item for place, item in enumerate(index) if place not in tables]
    if len(tables) == 1 and all(item == slice(None) for item in others) and index[tables[0]].dtype.kind in "iu":
        return lookup(x, index[tables[0]], tables[0])
    return indexed(x, index)


def _put(call: Call) -> Operation:
    """x[index] = value: operands x, what stands for "tensor" in the index, and the value where it is no number."""
    x, text = call.need(0), call.attributes.get("index")
    if not isinstance(text, str) or call.flag("accumulate"):
        raise call.unknown("an unknown index, or sums")
    tensors = iter(call.given[1:])
    index = tuple(_indexed(call, part.strip(), tensors) for part in _PART.findall(text))
    value = next(tensors, None)
    if value is None and "value" not in call.attributes:
        raise call.unknown("an unknown value")
    value = np.asarray(call.number("value", default=0.0)) if value is None else value
    return Operation("put", Index(index=index), (x, value.astype(x.dtype)))


def _indexed(call: Call, part: str, tensors: Any) -> Any:
    if part in {"None", "..."}:
        return None if part == "None" else Ellipsis
    if part == "tensor":
        if (places := next(tensors, None)) is None:
            raise call.unknown("places that are not known")
        return places
    try:
        if part.startswith("("):
            return np.asarray(ast.literal_eval(part))
        return slice(*(int(number) if number else None for number in part.split(":"))) if ":" in part else int(part)
    except ValueError as exc:
        raise call.unknown(part) from exc


def _computed(call: Call) -> set[str]:
    """Arguments that only a run could tell."""
    found = call.attributes.get("computed")
    return set(found) if isinstance(found, tuple) else set()


def _known(call: Call, *names: str) -> None:
    if _computed(call) & set(names):
        raise call.unknown("bounds that the model computes")


def _slice(call: Call) -> Operation:
    """One bound that the model computes follows from the other and the length of the result."""
    _known(call, "dim", "step")
    x, computed = call.need(0), _computed(call) & {"start", "end"}
    axis, step = call.axis(x.ndim, 0), call.integer("step", default=1)
    start, end = call.integer("start", default=0), call.integer("end", default=TO_THE_END)
    if computed:
        size, length = x.shape[axis], call.need_shape()[axis]
        start, end, _ = slice(start, end).indices(size)
        if len(computed) == 2 and length != size:
            _known(call, "start", "end")
        if computed == {"end"}:
            end = min(start + length * step, size)
        elif computed == {"start"}:
            start = end - length * step
    return Operation("slice", Slice(places=((axis, start, end, step),)), (x,))


def _select(call: Call) -> Operation:
    _known(call, "dim", "index")
    x = call.need(0)
    axis = call.axis(x.ndim)
    return Operation("index", Index(index=(*(slice(None),) * axis, call.integer("index"))), (x,))


def _narrow(call: Call) -> Operation:
    _known(call, "dim", "start", "length")
    x, start = call.need(0), call.integer("start")
    place = (call.axis(x.ndim), start, start + call.integer("length"), 1)
    return Operation("slice", Slice(places=(place,)), (x,))


def _index_select(call: Call) -> Operation:
    x = call.need(0)
    return lookup(x, call.need(1), call.axis(x.ndim))


def _embedding(call: Call) -> Operation:
    """F.embedding takes (indices, table), the operator (table, indices): indices are whole numbers."""
    first, second = call.need(0), call.need(1)
    if first.dtype.kind in "iu" and second.dtype.kind not in "iu":
        first, second = second, first
    return lookup(first, second, 0)


def _take_along(call: Call) -> Operation:
    x, indices = call.need(0), call.need(1)
    axis = call.axis(x.ndim)
    shape = [b if axis == k else max(a, b) for k, (a, b) in enumerate(zip(x.shape, indices.shape, strict=True))]
    return Operation("gather_elements", Along(axis=axis), (x, np.broadcast_to(indices, shape)))


def _scatter(reduction: str) -> Any:
    """Operands x, indices, source; or a number for all."""

    def translate(call: Call) -> Operation:
        x, indices, source = call.need(0), call.need(1), call.operand(2)
        said = str(call.attributes.get("reduce", ""))
        if said or (source is None and not isinstance(call.attributes.get("value"), (int, float))):
            raise call.unknown("reduced in a way of its own")
        updates = np.asarray(call.attributes["value"], x.dtype) if source is None else source
        settings = ScatterElements(axis=call.axis(x.ndim), reduction=reduction)
        return Operation("scatter_elements", settings, (x, indices, updates))

    return translate


def _where(call: Call) -> Operation:
    data = call.given
    if len(data) == 1:
        raise call.unknown("places")
    for place, names in ((1, ("self", "input")), (2, ("other",))):
        if len(data) < 3 and any(isinstance(call.attributes.get(name), (int, float)) for name in names):
            data.insert(place, np.asarray(call.number(*names, default=0.0)))
    if len(data) != 3:
        raise call.unknown(f"{len(data)} operands")
    return Operation("where", {}, (data[0], data[1], data[2]))


def _masked_fill(call: Call) -> Operation:
    """masked_fill(x, mask, value)."""
    value = call.operand(2)
    if value is None:
        value = np.asarray(call.number("value", default=0.0))
    return Operation("where", {}, (call.need(1), value, call.need(0)))


def _triangle(*, upper: bool) -> Any:
    def translate(call: Call) -> Operation:
        settings = Triangle(upper=upper, diagonal=call.integer("diagonal", default=0))
        return Operation("triangle", settings, (call.need(0),))

    return translate


def _arg_max(*, largest: bool) -> Any:
    def translate(call: Call) -> Operation:
        x, axis = call.need(0), call.attributes.get("axis", call.attributes.get("dim"))
        settings = ArgMax(
            largest=largest,
            axis=axis % x.ndim if isinstance(axis, int) else None,
            keep=call.flag("keepdims"),
            last=False,
        )
        return Operation("argmax", settings, (x,))

    return OfKind("argmax", translate)


def _top_k(call: Call) -> Operation:
    x = call.need(0)
    settings = Sort(
        axis=call.axis(x.ndim, -1),
        largest=call.flag("largest", default=True),
        count=call.integer("k"),
    )
    return Operation("sort", settings, (x,))


def _sort(call: Call) -> Operation:
    x = call.need(0)
    settings = Sort(
        axis=call.axis(x.ndim, -1),
        largest=call.flag("descending"),
        count=None,
    )
    return Operation("sort", settings, (x,))


def _one_hot(call: Call) -> Operation:
    indices = call.need(0)
    settings = OneHot(depth=call.need_shape()[-1], axis=indices.ndim, wrap=False)
    return Operation("one_hot", settings, (indices, np.ones((), np.int64), np.zeros((), np.int64)))


WORDS: Vocabulary = {
    **dict.fromkeys(("getitem", "index"), _get_item),
    **dict.fromkeys(("setitem", "index_put"), _put),
    "slice": _slice,
    "select": _select,
    "narrow": _narrow,
    "index_select": _index_select,
    "embedding": _embedding,
    "gather": gather_elements,
    "take_along_dim": _take_along,
    "scatter": _scatter("none"),
    "scatter_add": _scatter("add"),
    "where": _where,
    "masked_fill": _masked_fill,
    "tril": _triangle(upper=False),
    "triu": _triangle(upper=True),
    "argmax": _arg_max(largest=True),
    "argmin": _arg_max(largest=False),
    "topk": _top_k,
    "sort": _sort,
    "one_hot": _one_hot,
}
