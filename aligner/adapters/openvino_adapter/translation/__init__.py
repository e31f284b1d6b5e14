"""The layers of OpenVINO's operation sets as operations."""

from __future__ import annotations

from aligner.operations.call import Call
from aligner.operations.forms import translated, vocabulary
from aligner.operations.operation import Operation

VOCABULARY = vocabulary(__name__, __path__)


def translate(call: Call) -> Operation:
    """The operation of a layer; raises Unsupported for what is not known here."""
    return translated(VOCABULARY, call)
