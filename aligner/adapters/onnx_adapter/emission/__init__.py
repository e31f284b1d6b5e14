"""Operations as ONNX nodes: the way back from ``translation``."""

from __future__ import annotations

from functools import partial

from aligner.adapters.onnx_adapter.emission import elementwise, layers, moving, sums
from aligner.adapters.onnx_adapter.emission.writer import Emitter, Writer
from aligner.adapters.rewriting import Step, in_primitives
from aligner.operations.operation import Unsupported

_EMITTERS: dict[str, Emitter] = {
    **elementwise.EMITTERS,
    **layers.EMITTERS,
    **moving.EMITTERS,
    **sums.EMITTERS,
}


def emit(writer: Writer, step: Step) -> tuple[str, ...]:
    """Write the nodes of a step, or of what it is made of; the names of its results.

    Raises Unsupported for what has no form here.
    """
    operation, made = step.operation, (len(writer.nodes), len(writer.initializers))
    emitter = _EMITTERS.get(operation.kind)
    try:
        if emitter is None:
            raise Unsupported(operation.kind)
        found = emitter(writer, step)
    except Unsupported as error:
        del writer.nodes[made[0] :], writer.initializers[made[1] :]
        try:
            return in_primitives(step, partial(emit, writer))
        except Unsupported:
            raise error from None
    first, *others = found if isinstance(found, tuple) else (found,)
    fused = operation.settings.get("fused_activation") or "none"
    return (elementwise.fused(writer, first, fused), *others)
