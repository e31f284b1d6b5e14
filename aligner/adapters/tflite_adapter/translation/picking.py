"""What picks and places elements."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import gather_nd, lookup, one_hot, simple, strided_slice
from aligner.operations.operation import Operation
from aligner.operations.settings import ArgMax, NonZero, ScatterNd, Slice, Sort


def _slice(call: Call) -> Operation:
    """Operands input, begin, size; a size of −1 is the rest."""
    x, begins, sizes = call.need(0), call.need_integers(1), call.need_integers(2)
    places = tuple(
        (axis, begin, x.shape[axis] if size < 0 else begin + size, 1)
        for axis, (begin, size) in enumerate(zip(begins, sizes, strict=True))
    )
    return Operation("slice", Slice(places=places), (x,))


def _strided_slice(call: Call) -> Operation:
    """A mask has a bit for each place."""
    if call.flag("offset"):
        raise call.unknown("ends that count from the beginning")
    return strided_slice(call, lambda mask, place: bool(call.integer(f"{mask}_mask", default=0) & 1 << place))


def _gather(call: Call) -> Operation:
    if call.integer("batch_dims", default=0):
        raise call.unknown("batches")
    table = call.need(0)
    return lookup(table, call.need(1), call.axis(table.ndim, 0))


def _embedding(call: Call) -> Operation:
    """Operands indices, table."""
    return lookup(call.need(1), call.need(0), 0)


def _scatter_nd(call: Call) -> Operation:
    """Operands indices, updates, shape: places named twice are added up."""
    updates = call.need(1)
    empty = np.zeros(call.need_integers(2), updates.dtype)
    return Operation("scatter_nd", ScatterNd(reduction="add"), (empty, call.need(0), updates))


def _update(call: Call) -> Operation:
    """Operands input, update, begins: a block is replaced, moved inside where it would reach beyond the end."""
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


def _arg_max(call: Call) -> Operation:
    x = call.need(0)
    settings = ArgMax(axis=call.need_integers(1)[0] % x.ndim, largest=call.node.op == "ARG_MAX", keep=False)
    return Operation("argmax", settings, (x,))


def _top_k(call: Call) -> Operation:
    x = call.need(0)
    return Operation("sort", Sort(axis=x.ndim - 1, largest=True, count=call.need_integers(1)[0]), (x,))


WORDS: Vocabulary = {
    "SLICE": _slice,
    "STRIDED_SLICE": _strided_slice,
    "GATHER": _gather,
    "EMBEDDING_LOOKUP": _embedding,
    "GATHER_ND": gather_nd,
    "SCATTER_ND": _scatter_nd,
    "DYNAMIC_UPDATE_SLICE": _update,
    "SELECT": _select,
    "SELECT_V2": _select,
    "WHERE": simple("nonzero", 1, NonZero(turned=False)),
    "ARG_MAX": _arg_max,
    "ARG_MIN": _arg_max,
    "TOPK_V2": _top_k,
    "ONE_HOT": one_hot,
}
