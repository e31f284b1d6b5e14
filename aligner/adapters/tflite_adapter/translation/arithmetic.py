"""Operations of two tensors, comparisons, reductions, running sums."""

from __future__ import annotations

from aligner.operations.call import Vocabulary
from aligner.operations.forms import comparisons, of_all, of_two, quotient, reductions, running_sum

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


WORDS: Vocabulary = {
    **of_two(BINARY),
    **comparisons(COMPARED),
    **reductions(REDUCTIONS),
    "DIV": quotient,
    "ADD_N": of_all("add"),
    "CUMSUM": running_sum,
}
