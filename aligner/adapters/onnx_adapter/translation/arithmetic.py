"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, of_all, quotient, reduced, running_sum, spelled
from aligner.operations.operation import Operation

BINARY = {
    **spelled("Add Sub Mul Pow BitwiseAnd BitwiseOr BitwiseXor"),
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
    "com.microsoft::BiasAdd": "add",
}


def _binary(call: Call) -> Operation:
    if call.attributes.get("broadcast"):
        raise call.unknown("broadcasting along a given axis")  # before version 7
    return Operation(BINARY[call.node.op], {}, (call.need(0), call.need(1)))


def _mod(call: Call) -> Operation:
    return Operation("fmod" if call.flag("fmod") else "remainder", {}, (call.need(0), call.need(1)))


def _shift(call: Call) -> Operation:
    kind = "shift_left" if call.text("direction", "") == "left" else "shift_right"
    return Operation(kind, {}, (call.need(0), call.need(1)))


def _mean(call: Call) -> Operation:
    total = sum(call.given[1:], start=call.given[0])
    return Operation("div", {}, (total, np.asarray(float(len(call.given)))))


COMPARED = {
    **spelled("Greater Less Equal"),
    "GreaterOrEqual": "greater_equal",
    "LessOrEqual": "less_equal",
}


REDUCTIONS = {
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceSumSquare": "sumsquare",
    "ReduceLogSum": "logsum",
    "ReduceLogSumExp": "logsumexp",
}


def _reduce(call: Call) -> Operation:
    """Axes in an operand or an attribute; none of them means all, or none at all where the node says so."""
    x = call.need(0)
    axes: Any = call.integers(1) if call.operand(1) is not None else call.numbers("axes")
    if not axes and call.attributes.get("noop_with_empty_axes"):
        return reduced(x, REDUCTIONS[call.node.op], (), keep=True)
    axes = tuple(sorted(int(axis) % x.ndim for axis in axes)) if axes else tuple(range(x.ndim))
    return reduced(x, REDUCTIONS[call.node.op], axes, keep=call.flag("keepdims", default=True))


def _running_product(call: Call) -> Operation:
    total = running_sum(call)
    return Operation("cumulate", {**total.settings, "form": "multiply"}, total.data)


WORDS: Vocabulary = {
    **dict.fromkeys(BINARY, _binary),
    **comparisons(COMPARED),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "Div": quotient,
    "Mod": _mod,
    "BitShift": _shift,
    "Sum": of_all("add"),
    "Max": of_all("maximum"),
    "Min": of_all("minimum"),
    "Mean": _mean,
    "CumSum": running_sum,
    "CumProd": _running_product,
}
