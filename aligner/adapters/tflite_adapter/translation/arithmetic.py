"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, of_two, quotient
from aligner.operations.operation import Operation
from aligner.operations.settings import Reduce, RunningSum

BINARY = {
    "ADD": "add",
    "SUB": "sub",
    "MUL": "mul",
    "POW": "pow",
    "MAXIMUM": "maximum",
    "MINIMUM": "minimum",
    "FLOOR_DIV": "floor_divide",
    "FLOOR_MOD": "remainder",
    "SQUARED_DIFFERENCE": "squared_difference",
    "ATAN2": "atan2",
    "LOGICAL_AND": "logical_and",
    "LOGICAL_OR": "logical_or",
    "BITWISE_XOR": "bitwise_xor",
    "RIGHT_SHIFT": "shift_right",
}


def _add_all(call: Call) -> Operation:
    data = call.given
    if len(data) == 1:
        return Operation("identity", {}, (data[0],))
    return Operation("add", {}, (sum(data[1:-1], start=data[0]), data[-1]))


COMPARED = {
    "GREATER": "greater",
    "GREATER_EQUAL": "greater_equal",
    "LESS": "less",
    "LESS_EQUAL": "less_equal",
    "EQUAL": "equal",
    "NOT_EQUAL": "not_equal",
}


REDUCTIONS = {
    "MEAN": "mean",
    "SUM": "sum",
    "REDUCE_PROD": "prod",
    "REDUCE_MAX": "max",
    "REDUCE_MIN": "min",
    "REDUCE_ANY": "any",
    "REDUCE_ALL": "all",
}


def _reduce(call: Call) -> Operation:
    x = call.need(0)
    axes = tuple(sorted({axis % x.ndim for axis in call.need_integers(1)}))
    settings = Reduce(
        form=REDUCTIONS[call.node.op],
        axes=axes,
        keep=call.flag("keep_dims"),
        correction=1.0,
    )
    return Operation("reduce", settings, (x,))


def _running(call: Call) -> Operation:
    x = call.need(0)
    axis = call.need_integers(1)[0] % x.ndim
    settings = RunningSum(axis=axis, reverse=call.flag("reverse"), exclusive=call.flag("exclusive"))
    return Operation("cumsum", settings, (x,))


WORDS: Vocabulary = {
    **of_two(BINARY),
    **comparisons(COMPARED),
    **dict.fromkeys(REDUCTIONS, _reduce),
    "DIV": quotient,
    "ADD_N": _add_all,
    "CUMSUM": _running,
}
