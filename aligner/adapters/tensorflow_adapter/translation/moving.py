"""What TensorFlow has besides TFLite of what moves tensors."""

from __future__ import annotations

from aligner.operations.call import Call, Vocabulary
from aligner.operations.operation import Operation
from aligner.operations.settings import Fill


def _ones(call: Call) -> Operation:
    return Operation("fill", Fill(shape=call.need(0).shape, value=1), ())


WORDS: Vocabulary = {"OnesLike": _ones}
