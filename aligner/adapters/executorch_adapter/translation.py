"""What a node computes: PyTorch's operators, with what the program computes as it runs left alone."""

from __future__ import annotations

from aligner.adapters.aten_translation import translate as as_pytorch_does
from aligner.adapters.executorch_adapter import xnnpack_words
from aligner.operations.call import Call
from aligner.operations.operation import Operation


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known."""
    if call.node.op in xnnpack_words.WORDS:
        return xnnpack_words.translate(call)
    if call.attributes.get("computed"):
        raise call.unknown("numbers that the program computes")
    return as_pytorch_does(call)
