"""Operations as ONNX nodes: the way back from ``translation``."""

from __future__ import annotations

from aligner.adapters.onnx_adapter.emission import elementwise, layers, moving, sums
from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.rewriting import Step
from aligner.operations.operation import Unsupported

_EMITTERS: dict[str, Emitter] = {
    **elementwise.EMITTERS,
    **layers.EMITTERS,
    **moving.EMITTERS,
    **sums.EMITTERS,
}


def emit(writer: Writer, step: Step) -> tuple[str, ...]:
    """Write the nodes of a step; the names of its results. Raises Unsupported for what has no form here."""
    operation = step.operation
    emitter = _EMITTERS.get(operation.kind)
    if emitter is None:
        raise Unsupported(operation.kind)
    found = emitter(writer, step)
    first, *others = found if isinstance(found, tuple) else (found,)
    fused = operation.settings.get("fused_activation") or "none"
    return (elementwise.fused(writer, first, fused), *others)
