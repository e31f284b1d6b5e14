"""Operations as TFLite operators: the way back from ``translation``, for nodes that a file lacks."""

from __future__ import annotations

from functools import partial

from aligner.adapters.rewriting import Step, in_primitives
from aligner.adapters.tflite_adapter.emission import elementwise, layers, moving
from aligner.adapters.tflite_adapter.emission.writer import Emitter, Writer
from aligner.operations.operation import Unsupported

_EMITTERS: dict[str, Emitter] = {**elementwise.EMITTERS, **moving.EMITTERS, **layers.EMITTERS}


def emit(writer: Writer, step: Step) -> tuple[str, ...]:
    """Write a step, in one operator or in several; the names of its results. Raises Unsupported."""
    operation, count = step.operation, len(writer.made)
    emitter = _EMITTERS.get(operation.kind)
    if emitter is not None and operation.fused_activation == "none" and operation.settings.get("range") is None:
        try:
            found = emitter(writer, step)
            return found if isinstance(found, tuple) else (found,)
        except Unsupported:
            del writer.made[count:]
    return in_primitives(step, partial(emit, writer))
