"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Vocabulary
from aligner.operations.forms import comparisons, of_all, of_two, quotient, reductions, running_sum, spelled

BINARY = {
    **spelled("ADD SUB MUL POW MAXIMUM MINIMUM SQUARED_DIFFERENCE ATAN2 LOGICAL_AND LOGICAL_OR BITWISE_XOR"),
    "FLOOR_DIV": "floor_divide",
    "FLOOR_MOD": "remainder",
    "RIGHT_SHIFT": "shift_right",
}


COMPARED = spelled("GREATER GREATER_EQUAL LESS LESS_EQUAL EQUAL NOT_EQUAL")


REDUCTIONS = {
    "MEAN": "mean",
    "SUM": "sum",
    "REDUCE_PROD": "prod",
    "REDUCE_MAX": "max",
    "REDUCE_MIN": "min",
    "REDUCE_ANY": "any",
    "REDUCE_ALL": "all",
}


WORDS: Vocabulary = {
    **of_two(BINARY),
    **comparisons(COMPARED),
    **reductions(REDUCTIONS),
    "DIV": quotient,
    "ADD_N": of_all("add"),
    "CUMSUM": running_sum,
}
