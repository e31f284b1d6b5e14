"""Attention as one operation, heads on an axis of their own."""

from __future__ import annotations

import math

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import attention
from aligner.operations.operation import Operation
from aligner.records.array import Array


def _apart(x: Array, heads: int) -> Array:
    """[batch, length, heads · width] as [batch, heads, length, width]."""
    return np.moveaxis(x.reshape(*x.shape[:2], heads, -1), 2, 1)


def _shared(x: Array, heads: int) -> Array:
    """Keys and values that several heads share, repeated for each of them."""
    return np.repeat(x, heads // x.shape[1], axis=1) if x.shape[1] != heads else x


def _attention(call: Call) -> Operation:
    """Operands Q, K, V, mask, past key, past value; rank 3 has its heads side by side."""
    query, key, value, mask = call.need(0), call.need(1), call.need(2), call.operand(3)
    if call.operand(4) is not None or call.operand(6) is not None or call.number("softcap", default=0.0):
        raise call.unknown("past keys, or scores that are capped")
    merged = query.ndim == 3
    if merged:
        heads, fewer = call.integer("q_num_heads"), call.integer("kv_num_heads")
        query, key, value = _apart(query, heads), _apart(key, fewer), _apart(value, fewer)
    key, value = _shared(key, query.shape[1]), _shared(value, query.shape[1])
    scale = call.number("scale", default=1 / math.sqrt(query.shape[-1]))
    return attention((query, key, value), mask, scale, causal=call.flag("is_causal"), merged=merged)


WORDS: Vocabulary = {"Attention": _attention}
