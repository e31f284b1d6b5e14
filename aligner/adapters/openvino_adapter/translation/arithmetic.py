"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, of_two, reductions, running_sum
from aligner.operations.operation import Operation

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


WORDS: Vocabulary = {
    **of_two(_BINARY),
    **comparisons(_COMPARED),
    **reductions(_REDUCTIONS),
    "Divide": _divide,
    "CumSum": running_sum,
}
