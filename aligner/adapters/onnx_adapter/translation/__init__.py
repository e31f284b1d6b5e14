"""ONNX's operators, and onnxruntime's own, as operations."""

from __future__ import annotations

from aligner.adapters.onnx_adapter.translation import (
    activation,
    arithmetic,
    attention,
    convolution,
    making,
    moving,
    normalisation,
    picking,
    product,
    quantization,
    recurrence,
    resizing,
)
from aligner.operations.call import Call, with_fused_activation
from aligner.operations.forms import vocabulary
from aligner.operations.operation import Operation

_VOCABULARY = vocabulary(
    activation,
    arithmetic,
    attention,
    convolution,
    making,
    moving,
    normalisation,
    picking,
    product,
    quantization,
    recurrence,
    resizing,
)


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    found = _VOCABULARY.get(call.node.op)
    if found is None:
        raise call.unknown()
    return with_fused_activation(found(call), call)
