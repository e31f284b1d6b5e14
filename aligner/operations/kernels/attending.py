"""Scaled dot-product attention as one operation."""

from __future__ import annotations

import numpy as np

from aligner.operations.kernels.products import matrix_product
from aligner.operations.operation import Operation, computes_by, wide
from aligner.operations.settings import Attention
from aligner.records.array import Array


@computes_by(Attention, "attention")
def attend(operation: Operation, settings: Attention) -> Array:
    """softmax(scale · Q·Kᵀ + mask) · V; ``merged`` lays the heads [batch, heads, length, width] side by side.

    A query that is let see nothing gets zeros, as of PyTorch's ``_safe_softmax``.
    """
    query, key, value = (wide(a) for a in operation.data)
    logits = matrix_product(query, key.swapaxes(-1, -2)) * settings.scale
    mask = operation.parameters.get("mask")
    if mask is not None:
        logits = np.where(mask, logits, -np.inf) if mask.dtype.kind == "b" else logits + mask
    if settings.causal:
        logits = np.where(np.tri(*logits.shape[-2:]).astype(bool), logits, -np.inf)
    largest = logits.max(axis=-1, keepdims=True)
    weights = np.exp(logits - np.where(largest == -np.inf, 0, largest))
    total = weights.sum(axis=-1, keepdims=True)
    result = matrix_product(weights / np.where(total == 0, 1, total), value)
    if settings.merged:
        result = np.moveaxis(result, 1, 2)
        result = result.reshape(*result.shape[:2], -1)
    return result
