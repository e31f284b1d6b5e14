"""Matrix products and attention."""

from __future__ import annotations

import math

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Attention, Einsum, Product


def _matmul(call: Call) -> Operation:
    """x · kernelᵀ with a kernel [out, in] where the second factor is a stored matrix, else left · right."""
    left, right = call.need(0), call.need(1)
    left = left.swapaxes(-1, -2) if call.flag("transpose_a") and left.ndim > 1 else left
    turned = call.flag("transpose_b") and right.ndim > 1
    if right.ndim == 2 and call.is_constant(1):
        return Operation("matmul", Product(), (left,), {"kernel": right if turned else right.T})
    return Operation("matmul", Product(), (left, right.swapaxes(-1, -2) if turned else right))


def _einsum(call: Call) -> Operation:
    equation = str(call.attributes.get("equation", "")).replace(" ", "")
    return Operation("einsum", Einsum(equation=equation), tuple(call.given))


def _attention(call: Call) -> Operation:
    """Operands Q, K, V, mask, scale."""
    query, key, value, mask, scale = call.need(0), call.need(1), call.need(2), call.operand(3), call.operand(4)
    settings = Attention(
        scale=1 / math.sqrt(query.shape[-1]) if scale is None else float(scale.reshape(())),
        causal=call.flag("causal"),
    )
    return Operation("attention", settings, (query, key, value), {} if mask is None else {"mask": mask})


WORDS: Vocabulary = {"MatMul": _matmul, "Einsum": _einsum, "ScaledDotProductAttention": _attention}
