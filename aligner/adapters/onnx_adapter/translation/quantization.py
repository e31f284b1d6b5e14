"""Quantized operators: a tensor whose scale is known arrives, and leaves, as the real numbers it stands for."""

from __future__ import annotations

import numpy as np

from aligner.operations.call import STORED, Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Dequantize, Quantize
from aligner.records.array import Array


def _is_real(call: Call, place: int) -> bool:
    value = call.inputs[place] if place < len(call.inputs) else None
    return value is not None and value.quantization is not None and bool(value.quantization.scale)


def _grid(call: Call, scale: Array, zero: Array | None) -> tuple[int | None, dict[str, Array]]:
    data, block = call.need(0), call.integer("block_size", default=0)
    axis = call.integer("axis", default=1) % max(data.ndim, 1) if scale.size > 1 else None
    if block and axis is not None and scale.ndim == data.ndim:
        spread = (np.repeat(one, block, axis) for one in (scale, np.zeros_like(scale) if zero is None else zero))
        cut = (slice(None),) * axis + (slice(data.shape[axis]),)
        return None, dict(zip(("scale", "zero"), (one[cut] for one in spread), strict=True))
    if scale.ndim > 1 or block:
        raise call.unknown("scales in blocks of another rank")
    return axis, {"scale": scale, "zero": np.zeros_like(scale) if zero is None else zero}


def _quantize(call: Call) -> Operation:
    axis, parameters = _grid(call, call.need(1), call.operand(2))
    dtype = call.dtype() or (str(parameters["zero"].dtype) if call.operand(2) is not None else "uint8")
    if dtype not in STORED:
        raise call.unknown(dtype)
    stored = call.quantization() is None
    return Operation("quantize", Quantize(axis=axis, limits=STORED[dtype], stored=stored), (call.need(0),), parameters)


def _dequantize(call: Call) -> Operation:
    if _is_real(call, 0):
        return Operation("identity", {}, (call.need(0),))
    axis, parameters = _grid(call, call.need(1), call.operand(2))
    return Operation("dequantize", Dequantize(axis=axis), (call.need(0),), parameters)


WORDS: Vocabulary = {"QuantizeLinear": _quantize, "DequantizeLinear": _dequantize}
