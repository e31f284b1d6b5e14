"""ONNX's operators, and onnxruntime's own, as operations."""

from __future__ import annotations

from aligner.operations.call import Call, with_fused_activation
from aligner.operations.forms import translated, vocabulary
from aligner.operations.operation import Operation

VOCABULARY = vocabulary(__name__, __path__)


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    return with_fused_activation(translated(VOCABULARY, call), call)
