"""Matrix products."""

from __future__ import annotations

import numpy as np

from aligner.adapters.onnx_adapter.packed import Packing
from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import einsum, matmul
from aligner.operations.operation import Operation
from aligner.operations.settings import Product


def _gemm(call: Call) -> Operation:
    bias = call.operand(2)
    if bias is not None:
        bias = bias * call.number("beta", default=1.0)
        bias = bias.reshape(-1) if bias.ndim == 2 and bias.shape[0] == 1 else bias
    return matmul(call, call.number("alpha", default=1.0), bias)


def _fused(call: Call) -> Operation:
    if call.flag("transBatchA") or call.flag("transBatchB"):
        raise call.unknown("transposed batches")
    return matmul(call, call.number("alpha", default=1.0))


def _integers(call: Call) -> Operation:
    """Stored numbers less their zero points; no parameters, for these are not the numbers that a model learnt."""
    left, right = (operand.astype(np.float64) for operand in (call.need(0), call.need(1)))
    if any(getattr(value, "quantization", None) is not None for value in call.inputs[:2]):
        raise call.unknown("real numbers where stored ones are multiplied")
    for place, axis in ((2, -2), (3, -1)):
        zero = call.operand(place)
        if zero is None:
            continue
        across = (
            np.expand_dims(zero.astype(np.float64), -1 if axis == -2 else -2) if zero.size > 1 else zero.reshape(())
        )
        if place == 2:
            left = left - across
        else:
            right = right - across
    return Operation("matmul", Product(), (left, right))


def _few_bits(call: Call) -> Operation:
    """A matrix [out, in] packed in few bits, or as the graph has it: unpacked."""
    packing = Packing.of(lambda name, default: call.integer(name, default=default))
    if packing is None or call.operand(4) is not None:
        raise call.unknown("bits or blocks of other sizes, or reordered")
    kernel = call.need(1)
    if kernel.dtype.kind != "f":
        kernel = packing.real(kernel, call.need(2), call.operand(3))
    bias = call.operand(5)
    parameters = {"kernel": kernel} | ({} if bias is None else {"bias": bias})
    return Operation("matmul", Product(), (call.need(0),), parameters)


WORDS: Vocabulary = {
    "MatMul": matmul,
    "Gemm": _gemm,
    "com.microsoft::FusedGemm": _gemm,
    "com.microsoft::FusedMatMul": _fused,
    "com.microsoft::TransposeMatMul": _fused,
    "com.microsoft::MatMulNBits": _few_bits,
    "MatMulInteger": _integers,
    "Einsum": einsum,
}
