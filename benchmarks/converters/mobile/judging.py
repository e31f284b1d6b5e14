"""What a comparison says of a pair, held against how the pair was made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.operations.kinds import MOVES_DATA
from benchmarks.converters.blind.exporting import quiet
from benchmarks.converters.captured import recorded
from benchmarks.converters.mobile.pairs import KEPT, Pair, alike, read
from benchmarks.faults.tflite_model import MOVING, PASSING, TfliteModel

if TYPE_CHECKING:
    from aligner.records.graph import Node

_CUT = frozenset({"PAD", "PADV2", "STRIDED_SLICE", "DEPTH_TO_SPACE", "SPACE_TO_DEPTH"})
"""Operations that compute nothing either, and are told where they stand."""
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
    """Of the candidate's tensors that compute and whose numbers some tensor of the reference holds: those paired,
    tensors with the same numbers counted as one."""
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
    """Count tensors with the same numbers as one, as often as either side computes it.

    A function that is spelled out may hold its operand a second time (|x| · sign x), which nothing is there to answer.
    """
    values, nodes = _captured(pair)
    model = read(pair)
    paired = {each["candidate"]["name"] for each in report["pairs"]}
    for alike_ones in _alike(model):
        held = model.tensors[alike_ones[0]]
        same = [name for name, value in values.items() if alike(value, held, KEPT)]
        computed = [name for name in same if name in nodes and nodes[name].kind not in MOVES_DATA]
        wanted = min(len(alike_ones), max(1, len(computed))) if same else 0
        names = [model.name(index) for index in alike_ones]
        found = min(wanted, sum(name in paired for name in names))
        made.pairable += wanted
        made.answered += found
        made.unpaired += [name for name in names if name not in paired][: wanted - found]


def _alike(model: TfliteModel) -> list[list[int]]:
    """The model's tensors that are computed, those with the same numbers together."""
    found: list[list[int]] = []
    for each in model.operators:
        for index in map(int, each.outputs):
            if model.word(each) in MOVING | PASSING | _CUT or not model.floating(index):
                continue
            known = (one for one in found if alike(model.tensors[one[0]], model.tensors[index], KEPT))
            one = next(known, None)
            found.append([index]) if one is None else one.append(index)
    return found


def _exact(pair: Pair, first: Mapping[str, Any]) -> bool:
    """The candidate's node or tensor is guilty, or the reference's tensor is the one that it should have made.

    Of an operator that is gone, also the node that reads what it read, where something is said to be missing before it.
    """
    inner = first.get("within") or {}
    if {first["candidate"]["node"], first["candidate"]["name"], inner.get("node")} & pair.guilty:
        return True
    if inner.get("primitive") == "missing" and inner.get("node") in pair.readers:
        return True
    values, nodes = _captured(pair)
    limit = APART if pair.precise else APART_IN_EIGHT_BITS
    steps = (_holding(values, step, limit) for step in pair.wrong)
    answers = next((found for found in steps if found), set())
    named = inner.get("reference_node") if inner else None
    makers = {nodes[name].name for name in answers if name in nodes}
    return first["reference"]["name"] in answers or (named is not None and named in makers)


def _holding(values: Mapping[str, np.ndarray], step: Sequence[np.ndarray], limit: float) -> set[str]:
    return {name for name, value in values.items() if any(alike(value, one, limit) for one in step)}


def _captured(pair: Pair) -> tuple[dict[str, np.ndarray], dict[str, Node]]:
    """Every tensor of the reference, and the node that makes it, by its name."""
    reference = str(pair.reference) if isinstance(pair.reference, Path) else pair.reference
    with quiet():
        return recorded(reference, [pair.inputs])
