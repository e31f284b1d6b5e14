"""Matrix products and attention."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import attention, einsum, matmul
from aligner.operations.operation import Operation


def _attention(call: Call) -> Operation:
    """Operands Q, K, V, mask, scale."""
    query, key, value, mask, scale = call.need(0), call.need(1), call.need(2), call.operand(3), call.operand(4)
    factor = None if scale is None else float(scale.reshape(()))
    return attention((query, key, value), mask, factor, causal=call.flag("causal"))


WORDS: Vocabulary = {"MatMul": matmul, "Einsum": einsum, "ScaledDotProductAttention": _attention}
