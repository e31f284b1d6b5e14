"""TFLite's operators as operations; everything has its channels last."""

from __future__ import annotations

from aligner.operations.call import Call, with_fused_activation, with_range
from aligner.operations.forms import translated, vocabulary
from aligner.operations.operation import Operation

WORDS = vocabulary(__name__, __path__)


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    operation = with_range(translated(WORDS, call), call)
    # the activation of a cell works inside it
    return operation if operation.kind == "recurrent" else with_fused_activation(operation, call)
