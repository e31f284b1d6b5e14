"""One comparison of two forms: what it should say, and what it said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.runtimes.forms import FIRST, FORMS, KEPT
from benchmarks.runtimes.network import FAULTS, build, feeds


@dataclass(frozen=True)
class Outcome:
    """One comparison: ``right`` is the verdict, ``located`` the place, ``named`` the cause among the first three.

    The place is that of the first divergence, or of the node in its region that a proven cause names, on either side.
    """

    reference: str
    candidate: str
    fault: str | None
    verdict: str
    right: bool
    located: bool | None = None
    named: bool | None = None
    first: str | None = None
    causes: tuple[str, ...] = ()
    seconds: float = 0.0


def compared(reference: str, candidate: str, fault: str | None, folder: Path) -> Outcome:
    """Compare the clean network in one form with the faulty one in another."""
    import aligner

    begun = time.perf_counter()
    options: dict[str, Any] = {"preprocessing": None}
    given = list(feeds(seed=1).values())
    options["settings"] = {
        f"{side}.precision": KEPT[form]
        for side, form in (("reference", reference), ("candidate", candidate))
        if form in KEPT
    }
    if {reference, candidate} & FIRST:
        from aligner.inputs import Preprocessing

        options["preprocessing"] = Preprocessing(layout="nhwc")
    result = aligner.compare(made(reference, None, folder), made(candidate, fault, folder), given, **options)
    seconds = round(time.perf_counter() - begun, 2)
    first = result.first_divergence
    proven = [
        word
        for one in result.causes[:3]
        if one.evidence_class == "proven" and first and one.speaks_of(first)
        for word in (one.node, *one.evidence.split())
    ]
    causes = tuple(finding.id for finding in result.causes[:3])
    if fault is None:
        return Outcome(reference, candidate, None, result.verdict, result.verdict == "aligned", seconds=seconds)
    truth = FAULTS[fault]
    return Outcome(
        reference,
        candidate,
        fault,
        result.verdict,
        result.verdict == "diverged",
        first is not None and any(_is_of(first, layer) or _speak_of(proven, layer) for layer in truth.layers),
        bool(set(causes) & set(truth.causes)),
        first and f"{first.reference.name} → {first.candidate.name}",
        causes,
        seconds,
    )


def _is_of(pair: Any, layer: str) -> bool:
    """Whether a pair is of a layer, by a path or a name of either side, or by those that one node of a side fuses."""
    texts = [text for side in (pair.reference, pair.candidate) for text in (side.scope or "", side.name, *side.names)]
    for nodes, others in ((pair.reference_nodes, pair.candidate_nodes), (pair.candidate_nodes, pair.reference_nodes)):
        texts += nodes if len(others) <= 1 else ()
    return _speak_of(texts, layer)


def _speak_of(texts: Sequence[str], layer: str) -> bool:
    words = [word for text in texts for word in text.replace(";", "/").replace(".", "/").split("/")]
    return any(word.split(":")[0] in (layer, f"{layer}_1") for word in words)


@cache
def _model(fault: str | None) -> Any:
    return build(fault)


@cache
def made(form: str, fault: str | None, folder: Path) -> Any:
    """The network in a form, made once."""
    place = folder / f"{form}-{fault or 'clean'}"
    place.mkdir()
    return FORMS[form](_model(fault), place)
