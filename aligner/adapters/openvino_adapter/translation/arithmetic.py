"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.forms import comparisons, of_two, reductions, running_sum, spelled
from aligner.operations.operation import Operation

_BINARY = {
    **spelled("Add Maximum Minimum SquaredDifference LogicalAnd LogicalOr LogicalXor BitwiseAnd BitwiseOr BitwiseXor"),
    "Subtract": "sub",
    "Multiply": "mul",
    "Power": "pow",
    "Mod": "fmod",
    "FloorMod": "remainder",
    "BitwiseLeftShift": "shift_left",
    "BitwiseRightShift": "shift_right",
}
_COMPARED = spelled("Equal NotEqual Less LessEqual Greater GreaterEqual")
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
