"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, of_two
from aligner.operations.operation import Operation
from aligner.operations.settings import Reduce, RunningSum

_BINARY = {
    "Add": "add",
    "Subtract": "sub",
    "Multiply": "mul",
    "Power": "pow",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Mod": "fmod",
    "FloorMod": "remainder",
    "SquaredDifference": "squared_difference",
    "LogicalAnd": "logical_and",
    "LogicalOr": "logical_or",
    "LogicalXor": "logical_xor",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "BitwiseLeftShift": "shift_left",
    "BitwiseRightShift": "shift_right",
}
_COMPARED = {
    "Equal": "equal",
    "NotEqual": "not_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
}
_REDUCTIONS = {
    **{f"Reduce{form}": form.lower() for form in ("Mean", "Sum", "Max", "Min", "Prod", "L1", "L2")},
    "ReduceLogicalAnd": "all",
    "ReduceLogicalOr": "any",
}


def _divide(call: Call) -> Operation:
    """Whole numbers are divided down, as Python does, unless the layer says otherwise."""
    left, right = call.need(0), call.need(1)
    whole = left.dtype.kind in "iu" and right.dtype.kind in "iu"
    down = call.flag("m_pythondiv", default=True)
    return Operation(("floor_divide" if down else "trunc_divide") if whole else "div", {}, (left, right))


def _reduce(call: Call) -> Operation:
    x = call.need(0)
    axes = tuple(sorted({axis % x.ndim for axis in call.need_integers(1)})) if x.ndim else ()
    settings = Reduce(form=_REDUCTIONS[call.node.op], axes=axes, keep=call.flag("keepdims"), correction=1.0)
    return Operation("reduce", settings, (x,))


def _running(call: Call) -> Operation:
    x, axis = call.need(0), call.need_integers(1)[0]
    settings = RunningSum(axis=axis % x.ndim, reverse=call.flag("reverse"), exclusive=call.flag("exclusive"))
    return Operation("cumsum", settings, (x,))


WORDS: Vocabulary = {
    **of_two(_BINARY),
    **comparisons(_COMPARED),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    "Divide": _divide,
    "CumSum": _running,
}
