"""Operations as TFLite operators: the way back from ``translation``, for nodes that a file lacks."""

from __future__ import annotations

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.adapters.tflite_adapter.emission import elementwise, layers, moving
from aligner.adapters.tflite_adapter.emission.writer import Emitter, Writer
from aligner.operations.lowering import lower, lowers
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

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
            if not lowers(operation):
                raise
    if not lowers(operation):
        raise Unsupported(operation.kind)
    return (_lowered(writer, step),)


def _lowered(w: Writer, step: Step) -> str:
    """The step by the primitives that make it; their arrays are known by identity."""
    operation = step.operation
    given = [(operation.data[place], name) for place, name in enumerate(step.data)]
    given += [(operation.parameters[role], name) for role, name in step.parameters.items()]
    flowing = [array for array, name in given if isinstance(name, str)]

    def called(array: Array) -> str | Array:
        known = next((name for held, name in reversed(given) if held is array), None)
        if known is None and any(np.may_share_memory(array, one) for one in flowing):
            raise Unsupported("a view of what is computed")
        return array if known is None else known

    for primitive in lower(operation):
        inner = primitive.operation
        parameters = {role: called(array) for role, array in inner.parameters.items()}
        (name, *_) = emit(w, Step(inner, tuple(map(called, inner.data)), ("result",), parameters))
        given.append((primitive.value, name))
        flowing.append(primitive.value)
    return str(given[-1][1])
