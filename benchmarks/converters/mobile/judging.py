"""What a comparison says of a pair, held against how the pair was made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.blind.exporting import quiet
from benchmarks.converters.captured import captured
from benchmarks.converters.mobile.pairs import KEPT, Pair, alike, read
from benchmarks.faults.tflite_model import MOVING, PASSING

APART = 1e-3
"""Two tensors hold the same numbers, in whatever order, up to this share of the peak (RMSE); of int8 ones a tenth."""
APART_IN_EIGHT_BITS = 0.1


@dataclass(slots=True)
class Judged:
    seed: int
    source: str
    reference: str
    twin: str
    options: list[str]
    fault: str | None
    detail: str
    verdict: str = "crashed"
    reason: str = ""
    exact: bool = False
    cause_right: bool = False
    first: str = ""
    said: list[str] = field(default_factory=list)
    pairs: int = 0
    wrong_pairs: list[str] = field(default_factory=list)
    pairable: int = 0
    answered: int = 0
    """Of the candidate's tensors that compute and whose numbers some tensor of the reference holds: those paired."""
    coverage: float | None = None
    unpaired: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def failed(self) -> str | None:
        if self.fault is None:
            return None if self.verdict == "aligned" and not self.wrong_pairs else self.verdict
        if self.verdict != "diverged":
            return f"not flagged: {self.verdict}"
        return None if self.exact else "located elsewhere"


def judge(pair: Pair) -> Judged:
    import aligner

    made = Judged(pair.seed, pair.source, pair.reference_form, pair.twin, pair.options, pair.fault, pair.detail)
    reference = str(pair.reference) if isinstance(pair.reference, Path) else pair.reference
    began = time.perf_counter()
    try:
        with quiet():
            report = aligner.compare(reference, str(pair.candidate), [pair.inputs]).to_json()
    except Exception as error:  # noqa: BLE001 - whatever is raised on a valid pair is a finding
        made.reason = f"{type(error).__name__}: {str(error)[:300]}"
        return made
    made.seconds = time.perf_counter() - began
    made.verdict, made.reason = report["verdict"], report["reason"][:200]
    made.said = [cause["id"] for cause in report["causes"][:3]]
    made.cause_right = bool(made.said) and made.said[0] in pair.causes
    first = report["first_divergence"]
    if first:
        made.first = f"{first['reference']['name']} ↔ {first['candidate']['name']} within {first.get('within')}"
    if pair.fault is None:
        _clean(pair, report, made)
    elif first:
        made.exact = _exact(pair, first)
    return made


def _clean(pair: Pair, report: Mapping[str, Any], made: Judged) -> None:
    made.coverage = report["coverage"]["computing_candidate"]
    if not pair.precise:
        return
    _answered(pair, report, made)
    for each in report["pairs"]:
        one, other = each["reference"], each["candidate"]
        if one["mean"] is None or other["mean"] is None:
            continue
        made.pairs += 1
        peak = max(abs(one["min"]), abs(one["max"]), 1e-30)
        if any(abs(one[key] - other[key]) > APART * peak for key in ("mean", "min", "max")):
            made.wrong_pairs.append(f"{one['name']} ↔ {other['name']} ({each['rule']})")


def _answered(pair: Pair, report: Mapping[str, Any], made: Judged) -> None:
    values, _ = _captured(pair)
    model = read(pair)
    paired = {each["candidate"]["name"] for each in report["pairs"]}
    for each in model.operators:
        for index in map(int, each.outputs):
            if not model.floating(index) or model.word(each) in MOVING | PASSING | {"PAD", "PADV2", "STRIDED_SLICE"}:
                continue
            if any(alike(value, model.tensors[index], KEPT) for value in values.values()):
                made.pairable += 1
                made.answered += model.name(index) in paired
                if model.name(index) not in paired:
                    made.unpaired.append(f"{model.word(each)} {model.name(index)}")


def _exact(pair: Pair, first: Mapping[str, Any]) -> bool:
    """The candidate's node or tensor is guilty, or the reference's tensor is the one that it should have made."""
    inner = first.get("within") or {}
    if {first["candidate"]["node"], first["candidate"]["name"], inner.get("node")} & pair.guilty:
        return True
    values, makers = _captured(pair)
    limit = APART if pair.precise else APART_IN_EIGHT_BITS
    steps = (_holding(values, step, limit) for step in pair.wrong)
    answers = next((found for found in steps if found), set())
    named = inner.get("reference_node") if inner else None
    return first["reference"]["name"] in answers or (named is not None and named in {makers.get(n) for n in answers})


def _holding(values: Mapping[str, np.ndarray], step: Sequence[np.ndarray], limit: float) -> set[str]:
    return {name for name, value in values.items() if any(alike(value, one, limit) for one in step)}


def _captured(pair: Pair) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Every tensor of the reference, and the node that makes it, by its name."""
    reference = str(pair.reference) if isinstance(pair.reference, Path) else pair.reference
    with quiet():
        return captured(reference, [pair.inputs])
