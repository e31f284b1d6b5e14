"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from typing import Any

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, quotient
from aligner.operations.operation import Operation
from aligner.operations.settings import Reduce, RunningSum

_BINARY = {
    "Add": "add",
    "Sub": "sub",
    "Mul": "mul",
    "Pow": "pow",
    "And": "logical_and",
    "Or": "logical_or",
    "Xor": "logical_xor",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "com.microsoft::BiasAdd": "add",
}


def _binary(call: Call) -> Operation:
    if call.attributes.get("broadcast"):
        raise call.unknown("broadcasting along a given axis")  # before version 7
    return Operation(_BINARY[call.node.op], {}, (call.need(0), call.need(1)))


def _mod(call: Call) -> Operation:
    return Operation("fmod" if call.flag("fmod") else "remainder", {}, (call.need(0), call.need(1)))


def _shift(call: Call) -> Operation:
    kind = "shift_left" if call.text("direction", "") == "left" else "shift_right"
    return Operation(kind, {}, (call.need(0), call.need(1)))


def _of_all(kind: str) -> Any:
    """An operation of any number of tensors: of two, else of the first two at a time."""

    def translate(call: Call) -> Operation:
        from aligner.operations.operation import compute

        data = call.given
        if len(data) == 1:
            return Operation("identity", {}, (data[0],))
        left = data[0]
        for other in data[1:-1]:
            left = compute(Operation(kind, {}, (left, other)))
        return Operation(kind, {}, (left, data[-1]))

    return translate


def _mean(call: Call) -> Operation:
    import numpy as np

    total = sum(call.given[1:], start=call.given[0])
    return Operation("div", {}, (total, np.asarray(float(len(call.given)))))


_COMPARED = {
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Equal": "equal",
}


_REDUCTIONS = {
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
        return Operation("reduce", _reduction(call, (), keep=True), (x,))
    axes = tuple(sorted(int(axis) % x.ndim for axis in axes)) if axes else tuple(range(x.ndim))
    return Operation("reduce", _reduction(call, axes, keep=call.flag("keepdims", default=True)), (x,))


def _reduction(call: Call, axes: tuple[int, ...], *, keep: bool) -> Reduce:
    return Reduce(form=_REDUCTIONS[call.node.op], axes=axes, keep=keep, correction=1.0)


def _running(call: Call) -> Operation:
    x, given = call.need(0), call.integers(1)
    axis = given[0] if given else call.integer("axis")
    settings = RunningSum(axis=axis % x.ndim, reverse=call.flag("reverse"), exclusive=call.flag("exclusive"))
    if call.node.op == "CumProd":
        return Operation("cumulate", {**settings, "form": "multiply"}, (x,))
    return Operation("cumsum", settings, (x,))


WORDS: Vocabulary = {
    **dict.fromkeys(_BINARY, _binary),
    **comparisons(_COMPARED),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "Div": quotient,
    "Mod": _mod,
    "BitShift": _shift,
    "Sum": _of_all("add"),
    "Max": _of_all("maximum"),
    "Min": _of_all("minimum"),
    "Mean": _mean,
    "CumSum": _running,
    "CumProd": _running,
}
