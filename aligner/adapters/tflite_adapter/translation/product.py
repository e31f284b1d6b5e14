"""Matrix products: stored matrices are [out, in]."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Product


def _fully_connected(call: Call) -> Operation:
    x, kernel, bias = call.need(0), call.need(1), call.operand(2)
    if not call.flag("keep_num_dims") and x.ndim != 2:
        x = x.reshape(-1, kernel.shape[-1])
    parameters = {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias}
    return Operation("matmul", Product(scale=1.0, linear=True), (x,), parameters)


def _batch_matmul(call: Call) -> Operation:
    left, right = call.need(0), call.need(1)
    left = left.swapaxes(-1, -2) if call.flag("transpose_a") else left
    turned, settings = call.flag("transpose_b"), Product()
    if right.ndim == 2 and call.is_constant(1):
        return Operation("matmul", settings, (left,), {"kernel": right if turned else right.T})
    return Operation("matmul", settings, (left, right.swapaxes(-1, -2) if turned else right))


WORDS: Vocabulary = {"FULLY_CONNECTED": _fully_connected, "BATCH_MATMUL": _batch_matmul}
