"""Matrix products."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import einsum, matmul
from aligner.operations.operation import Operation
from aligner.operations.settings import Product
from aligner.records.array import Array


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
    """A matrix [out, in] packed in 2, 4 or 8 bits, each block of a row with a scale and a zero point of its own."""
    bits, block = call.integer("bits", default=4), call.integer("block_size", default=0)
    size = call.integer("N", default=0), call.integer("K", default=0)
    if bits not in (2, 4, 8) or block < 1 or call.operand(4) is not None:
        raise call.unknown(f"{bits} bits in blocks of {block}, or reordered")
    kernel = _unpacked(call.need(1), bits).reshape(size[0], -1, block)
    scale, zero = call.need(2).reshape(*kernel.shape[:2], 1), call.operand(3)
    middle: Any = 1 << (bits - 1)
    if zero is not None:
        packed = zero.dtype.kind == "u"
        whole = _unpacked(zero.reshape(size[0], -1), bits) if packed else zero.reshape(size[0], -1)
        middle = whole[:, : kernel.shape[1], None]
    real = ((kernel - middle) * scale).reshape(size[0], -1)[:, : size[1]].astype(scale.dtype)
    bias = call.operand(5)
    parameters = {"kernel": real} | ({} if bias is None else {"bias": bias})
    return Operation("matmul", Product(), (call.need(0),), parameters)


def _unpacked(array: Array, bits: int) -> Array:
    """The numbers in each byte, the lowest bits first, along the last axis."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    apart: Array = (array[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return apart.reshape(*array.shape[:-1], -1).astype(np.float32)


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
