"""Both sides drew random numbers: the candidate once more with the reference's in place of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set

import numpy as np

from aligner.execution.injected_run import InjectedRun
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.judgement.judgement import Judgement
from aligner.judgement.whole_facts import Frozen
from aligner.records.array import Array
from aligner.records.difference import Difference
from aligner.records.measurement import Measured

_CHANCE = 1e-6
"""How often two draws from one distribution may be taken for draws from two."""


def frozen_outputs(
    reference: OpenSide,
    candidate: OpenSide,
    passes: Passes,
    measured: Sequence[Measured],
    judgements: Sequence[Judgement],
) -> Frozen | None:
    """The outputs when only what is random is the reference's; None where that is unknown."""
    random = {m.pair.candidate for m, j in zip(measured, judgements, strict=True) if j.verdict == "nondeterministic"}
    found = outputs_with((reference, candidate), passes, measured, random)
    if not found:
        return None
    outputs = {value: passes.measured[value].pair for value in found}
    answered = {pair.reference for pair in outputs.values()}
    drawn = passes.tensors([value for value in random if not passes.measured[value].tied], local=True)
    return Frozen(
        max(found.values(), key=lambda one: (one.mismatched > 0, one.errors.max_abs)),
        complete=answered >= set(reference.graph.outputs),
        alike=all(_drawn_alike(left, right) for _, left, right in drawn),
    )


def outputs_with(
    sides: tuple[OpenSide, OpenSide], passes: Passes, measured: Sequence[Measured], values: Set[str]
) -> dict[str, Difference] | None:
    """The candidate's paired outputs with these values the reference's; None where they cannot be put in."""
    if not values or not sides[1].session.capabilities.can_inject:
        return None
    frozen = {value: pair for value, pair in passes.injectable().items() if value in values}
    outputs = {m.pair.candidate: m.pair for m in measured if m.pair.candidate in set(sides[1].graph.outputs) - values}
    if len(frozen) < len(values) or not outputs:
        return None
    found = {}
    for value, tensor, expected in InjectedRun(*sides, frozen, outputs):
        error = passes.held(value, expected, tensor)
        if error is not None:
            found[value] = error
    return found


def _drawn_alike(left: Array, right: Array) -> bool:
    """Whether two tensors may be draws from one distribution, by the test of Kolmogorov and Smirnov."""
    one, other = (np.sort(array, axis=None).astype(np.float64) for array in (left, right))
    places = np.concatenate([one, other])
    shares = [np.searchsorted(side, places, side="right") / max(side.size, 1) for side in (one, other)]
    apart = float(np.abs(shares[0] - shares[1]).max(initial=0.0))
    return apart <= math.sqrt(-math.log(_CHANCE / 2) / 2) * math.sqrt(2 / max(one.size, 1))
