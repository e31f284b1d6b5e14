"""Reductions and running sums."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, OfKind, Vocabulary, of_kind
from aligner.operations.operation import Operation
from aligner.operations.settings import Cumulate, Reduce, RunningSum
from aligner.records.array import Array


def _axes(call: Call, x: Array) -> tuple[int, ...]:
    said = call.attributes.get("axes", call.attributes.get("axis", call.attributes.get("dim")))
    if isinstance(said, int):
        said = (said,)
    given = tuple(int(axis) % x.ndim for axis in said if axis is not None) if isinstance(said, tuple) else ()
    return tuple(sorted(given)) or tuple(range(x.ndim))


def _settings(call: Call, form: str, correction: float = 1.0, *, with_mean: bool = False) -> Reduce:
    x, shape = call.need(0), call.shape
    keep = call.flag("keepdims")
    if shape is not None:
        keep = len(shape) == x.ndim and x.ndim > 0
    return Reduce(form=form, axes=_axes(call, x), keep=keep, correction=correction, with_mean=with_mean)


def _reduce(form: str) -> Any:
    return OfKind("reduce", lambda call: Operation("reduce", _settings(call, form), (call.need(0),)))


def _spread(form: str, *, with_mean: bool = False) -> Any:
    """Variance or deviation; from n − 1 unless it is said otherwise."""

    def translate(call: Call) -> Operation:
        correction = call.number("correction", default=1.0)
        if call.attributes.get("unbiased") is False:
            correction = 0.0
        return Operation("reduce", _settings(call, form, correction, with_mean=with_mean), (call.need(0),))

    return OfKind("reduce", translate)


def _norm(call: Call) -> Operation:
    order: Any = call.attributes.get("p", call.attributes.get("ord", 2))
    forms = {None: "l2", 2: "l2", "fro": "l2", 1: "l1"}
    if order not in forms:
        raise call.unknown("an order other than 1 and 2")
    return Operation("reduce", _settings(call, forms[order]), (call.need(0),))


def _extreme(form: str) -> Any:
    """The largest of all, of two tensors, or along an axis with its place."""

    def translate(call: Call) -> Operation:
        given = call.given
        if len(given) > 1:
            return Operation("maximum" if form == "max" else "minimum", {}, (given[0], given[1]))
        return Operation("reduce", _settings(call, form), (given[0],))

    return OfKind("reduce", translate)


def _running(call: Call) -> Operation:
    x = call.need(0)
    return Operation("cumsum", RunningSum(axis=call.axis(x.ndim)), (x,))


def _cumulate(form: str) -> Any:
    def translate(call: Call) -> Operation:
        x = call.need(0)
        return Operation("cumulate", Cumulate(axis=call.axis(x.ndim), form=form), (x,))

    return OfKind("cumsum", translate)


WORDS: Vocabulary = {
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "prod": _reduce("prod"),
    "amax": _reduce("max"),
    "amin": _reduce("min"),
    "any": _reduce("any"),
    "all": _reduce("all"),
    "logsumexp": _reduce("logsumexp"),
    "max": _extreme("max"),
    "min": _extreme("min"),
    "var": _spread("var"),
    "std": _spread("std"),
    "var_mean": _spread("var", with_mean=True),
    "std_mean": _spread("std", with_mean=True),
    **dict.fromkeys("norm vector_norm linalg_vector_norm linalg_norm frobenius_norm".split(), of_kind("reduce")(_norm)),
    "cumsum": of_kind("cumsum")(_running),
    "cumprod": _cumulate("multiply"),
    "cummax": _cumulate("maximum"),
    "cummin": _cumulate("minimum"),
}
