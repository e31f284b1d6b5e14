"""Attention as one operation."""

from __future__ import annotations

import math

import numpy as np

from aligner.operations.call import Call, Vocabulary
from aligner.operations.layer_forms import attention
from aligner.operations.operation import Operation


def _attention(call: Call) -> Operation:
    """Query, key, value [..., length, width], a mask where there is one; shared keys are repeated for each head."""
    query, key, value = call.need(0), call.need(1), call.need(2)
    if call.number("dropout_p", default=0.0):
        raise call.unknown("random")
    if call.flag("enable_gqa") and query.ndim > 2 and query.shape[-3] % key.shape[-3] == 0:
        times = query.shape[-3] // key.shape[-3]
        key, value = np.repeat(key, times, axis=-3), np.repeat(value, times, axis=-3)
    if query.shape[:-2] != key.shape[:-2]:
        raise call.unknown("grouped queries")
    scale = call.number("scale", default=1 / math.sqrt(query.shape[-1]))
    return attention((query, key, value), call.operand(3), scale, causal=call.flag("is_causal"))


WORDS: Vocabulary = {"scaled_dot_product_attention": _attention}
