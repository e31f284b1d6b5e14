"""What picks and places elements."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, ArgMax, GatherNd, Index, NonZero, OneHot, ScatterNd, Slice, Sort


def _slice(call: Call) -> Operation:
    """Operands input, begin, size; a size of −1 is the rest."""
    x, begins, sizes = call.need(0), call.need_integers(1), call.need_integers(2)
    places = tuple(
        (axis, begin, x.shape[axis] if size < 0 else begin + size, 1)
        for axis, (begin, size) in enumerate(zip(begins, sizes, strict=True))
    )
    return Operation("slice", Slice(places=places), (x,))


def _strided_slice(call: Call) -> Operation:
    """Operands input, begin, end, strides, and masks of bits: an end that is left open, an axis that goes or comes."""
    x, begins, ends, steps = call.need(0), call.need_integers(1), call.need_integers(2), call.need_integers(3)
    open_begin, open_end = call.integer("begin_mask", default=0), call.integer("end_mask", default=0)
    dropped, fresh = call.integer("shrink_axis_mask", default=0), call.integer("new_axis_mask", default=0)
    ellipsis = call.integer("ellipsis_mask", default=0)
    if call.flag("offset"):
        raise call.unknown("ends that count from the beginning")
    index: list[Any] = []
    for place, (begin, end, step) in enumerate(zip(begins, ends, steps, strict=True)):
        bit = 1 << place
        if ellipsis & bit:
            index.append(Ellipsis)
        elif fresh & bit:
            index.append(None)
        elif dropped & bit:
            index.append(begin)
        else:
            index.append(slice(None if open_begin & bit else begin, None if open_end & bit else end, step))
    if all(isinstance(item, slice) and item.step > 0 for item in index):
        places = tuple(
            (axis, s.start or 0, 2**63 - 1 if s.stop is None else s.stop, s.step) for axis, s in enumerate(index)
        )
        return Operation("slice", Slice(places=places), (x,))
    return Operation("index", Index(index=tuple(index)), (x,))


def _gather(call: Call) -> Operation:
    if call.integer("batch_dims", default=0):
        raise call.unknown("batches")
    table = call.need(0)
    return Operation(
        "lookup", Along(axis=call.integer("axis", default=0) % table.ndim), (call.need(1),), {"table": table}
    )


def _embedding(call: Call) -> Operation:
    """Operands indices, table."""
    return Operation("lookup", Along(axis=0), (call.need(0),), {"table": call.need(1)})


def _gather_nd(call: Call) -> Operation:
    return Operation("gather_nd", GatherNd(batch=0), (call.need(0), call.need(1)))


def _scatter_nd(call: Call) -> Operation:
    """Operands indices, updates, shape: places named twice are added up."""
    import numpy as np

    updates = call.need(1)
    empty = np.zeros(call.need_integers(2), updates.dtype)
    return Operation("scatter_nd", ScatterNd(reduction="add"), (empty, call.need(0), updates))


def _update(call: Call) -> Operation:
    """Operands input, update, begins: a block is replaced, moved inside where it would reach beyond the end."""
    import numpy as np

    x, update = call.need(0), call.need(1)
    begins = [max(0, min(b, n - m)) for b, n, m in zip(call.need_integers(2), x.shape, update.shape, strict=True)]
    places = np.stack(
        np.meshgrid(*(b + np.arange(m) for b, m in zip(begins, update.shape, strict=True)), indexing="ij"), -1
    )
    return Operation("scatter_nd", ScatterNd(reduction="none"), (x, places, update))


def _select(call: Call) -> Operation:
    """Before version 2 a condition of one axis picks whole rows."""
    condition, left, right = call.need(0), call.need(1), call.need(2)
    if call.node.op == "SELECT" and condition.ndim == 1 and left.ndim > 1:
        condition = condition.reshape(-1, *(1,) * (left.ndim - 1))
    return Operation("where", {}, (condition, left, right))


def _where(call: Call) -> Operation:
    return Operation("nonzero", NonZero(turned=False), (call.need(0),))


def _arg_max(call: Call) -> Operation:
    x = call.need(0)
    settings = ArgMax(axis=call.need_integers(1)[0] % x.ndim, largest=call.node.op == "ARG_MAX", keep=False)
    return Operation("argmax", settings, (x,))


def _top_k(call: Call) -> Operation:
    x = call.need(0)
    return Operation("sort", Sort(axis=x.ndim - 1, largest=True, count=call.need_integers(1)[0]), (x,))


def _one_hot(call: Call) -> Operation:
    """Operands indices, depth, on, off."""
    indices = call.need(0)
    settings = OneHot(
        depth=call.need_integers(1)[0],
        axis=call.integer("axis", default=-1) % (indices.ndim + 1),
        wrap=False,
    )
    return Operation("one_hot", settings, (indices, call.need(2), call.need(3)))


WORDS: Vocabulary = {
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "EMBEDDING_LOOKUP": _embedding,
    "GATHER_ND": _gather_nd,
    "SCATTER_ND": _scatter_nd,
    "DYNAMIC_UPDATE_SLICE": _update,
    "SELECT": _select,
    "SELECT_V2": _select,
    "WHERE": _where,
    "ARG_MAX": _arg_max,
    "ARG_MIN": _arg_max,
    "TOPK_V2": _top_k,
    "ONE_HOT": _one_hot,
}
