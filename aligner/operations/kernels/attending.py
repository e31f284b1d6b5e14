"""Scaled dot-product attention as one operation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aligner.operations.operation import Call, Operation, Unsupported, computes, reads, wide

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@reads("attention")
def read_attention(call: Call) -> Operation:
    """Query, key, value [..., length, width]; settings scale, causal; parameter mask where there is one.

    Keys and values that several heads share are repeated for each of them.
    """
    import numpy as np

    if "scaled_dot_product" not in call.word:
        raise Unsupported(call.node.op)
    query, key, value = call.need(0), call.need(1), call.need(2)
    if call.attributes.get("enable_gqa") and query.ndim > _HEADS and query.shape[-3] % key.shape[-3] == 0:
        times = query.shape[-3] // key.shape[-3]
        key, value = np.repeat(key, times, axis=-3), np.repeat(value, times, axis=-3)
    if query.shape[:-2] != key.shape[:-2]:
        raise Unsupported("grouped queries")
    scale = call.number("scale", default=1 / math.sqrt(query.shape[-1]))
    mask = call.operand(3)
    settings = {"scale": scale, "causal": bool(call.attributes.get("is_causal", False))}
    return Operation("attention", settings, (query, key, value), {} if mask is None else {"mask": mask})


_HEADS = 2
"""Axes of one head."""


@computes("attention")
def attend(operation: Operation) -> Array:
    """softmax(scale · Q·Kᵀ + mask) · V."""
    import numpy as np

    query, key, value = (wide(a) for a in operation.data)
    logits = query @ key.swapaxes(-1, -2) * operation.settings["scale"]
    mask = operation.parameters.get("mask")
    if mask is not None:
        logits = np.where(mask, logits, -np.inf) if mask.dtype.kind == "b" else logits + mask
    if operation.settings["causal"]:
        logits = np.where(np.tri(*logits.shape[-2:]).astype(bool), logits, -np.inf)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: Array = weights / weights.sum(axis=-1, keepdims=True) @ value
    return result
