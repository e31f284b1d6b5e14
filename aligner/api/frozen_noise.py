"""Both sides drew random numbers: the candidate once more with the reference's in place of its own."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.diff.difference import difference
from aligner.execution.injected_run import InjectedRun
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.judgement.verdicts import Judgement
from aligner.records.axis_order import to_reference
from aligner.records.difference import Difference
from aligner.records.measurement import Measured


def frozen_outputs(
    reference: OpenSide,
    candidate: OpenSide,
    passes: Passes,
    measured: Sequence[Measured],
    judgements: Sequence[Judgement],
) -> Difference | None:
    """The largest difference of the outputs when only what is random is the reference's; None where that is unknown."""
    random = {m.pair.candidate for m, j in zip(measured, judgements, strict=True) if j.verdict == "nondeterministic"}
    if not random or not candidate.session.capabilities.can_inject:
        return None
    frozen = {value: pair for value, pair in passes.injectable().items() if value in random}
    outputs = {m.pair.candidate: m.pair for m in measured if m.pair.candidate in set(candidate.graph.outputs) - random}
    if len(frozen) < len(random) or not outputs:
        return None
    found = []
    for value, tensor, expected in InjectedRun(reference, candidate, frozen, outputs):
        left = expected.real()
        moved = to_reference(tensor.real(), outputs[value].axes, tuple(left.shape))
        if moved is not None:
            found.append(difference(left, moved))
    return max(found, key=lambda one: one.errors.max_abs, default=None)
