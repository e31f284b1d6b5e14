"""Matrix products: stored matrices are [out, in]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import dense, matmul
from aligner.operations.operation import Operation


def _fully_connected(call: Call) -> Operation:
    x, kernel, bias = call.need(0), call.need(1), call.operand(2)
    if not call.flag("keep_num_dims") and x.ndim != 2:
        x = x.reshape(-1, kernel.shape[-1])
    return dense(x, kernel, bias)


WORDS: Vocabulary = {"FULLY_CONNECTED": _fully_connected, "BATCH_MATMUL": matmul}
