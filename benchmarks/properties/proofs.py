"""A proven cause is sufficient: what its counterfactual computes, alone in the culprit's place, mends the outputs.

The prediction is put into the file that it speaks of by onnxruntime alone: a counterfactual of the candidate's node has
to bring the candidate's outputs to the reference's, one of the reference's node the reference's to the candidate's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aligner.api.comparing import run_comparison
from aligner.api.options import CompareOptions
from aligner.records.axis_order import to_candidate
from benchmarks.converters.case import Case, case
from benchmarks.converters.graph import Array, run
from benchmarks.converters.properties import MENDED, apart, moved
from benchmarks.converters.scoring import write

if TYPE_CHECKING:
    from aligner.causes.context import Context
    from aligner.causes.search import Examined
    from aligner.records.comparison import Comparison, Finding


@dataclass(frozen=True, slots=True, eq=False)
class Proof:
    """The counterfactual of the first cause: its array stands for ``value`` of side ``side`` (0: the reference's)."""

    cause: str
    side: int
    value: str
    array: Array


def insufficient(seed: int) -> list[str] | None:
    """What is wrong with the proof of a seed's fault; None where nothing was proven by a counterfactual."""
    made = case(seed, faulty=True)
    if made is None:
        return None
    comparison, proof = _proof(made)
    if proof is None or (proof.side == 0 and len(comparison.introduced) > 1):
        return None  # what else is wrong with the candidate cannot be taken out of what it gives
    left = _left(made, comparison, proof)
    if left is None or left <= MENDED:
        return None if left is None else []
    return [f"no proof: {proof.cause} at {proof.value} leaves outputs off by {left:.1e}"]


def _proof(made: Case) -> tuple[Comparison, Proof | None]:
    found: list[Proof] = []

    def told(context: Context, examined: list[Examined], findings: list[Finding]) -> None:  # noqa: ARG001
        first = findings[0] if findings else None
        for one in examined if first is not None and first.evidence_class == "proven" else ():
            claim = next(iter(one.proven), None)
            if claim is None or first is None or claim.place(one.culprit) != first.node or claim.predict is None:
                continue
            array, pair, side = claim.predict(), one.culprit.measured.pair, claim.recomputed
            own = made.candidate.values.get(pair.candidate)
            if side == 1 and array is not None:
                array = None if own is None else to_candidate(array, pair.axes, own.shape)
            if array is not None:
                found.append(Proof(first.id, side, pair.values[side], array))

    with tempfile.TemporaryDirectory(prefix="proofs") as folder:
        reference, candidate, _ = write(made, Path(folder))
        comparison = run_comparison(
            str(reference), str(candidate), dict(made.reference.feeds), CompareOptions(told=told)
        )
    return comparison, found[0] if found else None


def _left(made: Case, comparison: Comparison, proof: Proof) -> float | None:
    """How far outputs stay apart, in parts of the peak, other culprits mended; None where nothing can be put there."""
    graphs: Sequence = (made.reference, made.candidate)
    graph = graphs[proof.side].copy()
    if proof.value in graph.feeds or proof.value not in graph.values:
        return None
    like = graph.values[proof.value]
    graph.redirect(proof.value, graph.keep(proof.array.astype(like.dtype).reshape(like.shape)))
    for pair in comparison.introduced if proof.side == 1 else ():
        name, answer = pair.candidate.name, made.reference.values.get(pair.reference.name)
        if name == proof.value:
            continue
        value = None if answer is None or name not in graph.values else moved(answer, pair.axes, graph.values[name])
        if value is None or name in graph.feeds:
            return None
        graph.redirect(name, graph.keep(value))
    try:
        got, wanted = run(graph), run(graphs[1 - proof.side])
    except Exception:  # noqa: BLE001 - a model that cannot be cut there says nothing
        return None
    return max(_apart(wanted[name], got[name]) for name in wanted if name in got)


def _apart(wanted: Array, got: Array) -> float:
    """Likewise; what is infinite or not a number on both sides agrees."""
    if wanted.shape == got.shape:
        both = ~np.isfinite(wanted) & ((wanted == got) | (np.isnan(wanted) & np.isnan(got)))
        wanted, got = np.where(both, 0, wanted), np.where(both, 0, got)
    return apart(wanted, got)
