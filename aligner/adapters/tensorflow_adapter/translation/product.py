"""Matrix products; a stored matrix is [in, out]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Einsum, Product


def _matmul(call: Call) -> Operation:
    left, right = call.need(0), call.need(1)
    left = left.T if call.flag("transpose_a") else left
    turned = call.flag("transpose_b")
    if call.is_constant(1):
        return Operation("matmul", Product(), (left,), {"kernel": right if turned else right.T})
    return Operation("matmul", Product(), (left, right.T if turned else right))


def _einsum(call: Call) -> Operation:
    equation = call.attributes.get("equation")
    if not isinstance(equation, str):
        raise call.unknown("an unknown equation")
    return Operation("einsum", Einsum(equation=equation.replace(" ", "")), tuple(call.given))


WORDS: Vocabulary = {"MatMul": _matmul, "Einsum": _einsum}
