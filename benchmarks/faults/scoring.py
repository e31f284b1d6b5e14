"""Judge an answer by the truth that was written down when the fault was planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.faults.truth import Truth

PAIR_TOLERANCE = 1e-3
"""A pair on a clean case is right when its rmse is below this share of the reference's rms."""


@dataclass(frozen=True, slots=True)
class Blamed:
    """A tensor of the candidate that an answer points at."""

    names: tuple[str, ...]
    scope: str | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """``flagged``: something was said to be wrong; ``exact`` and ``near``: the first thing blamed is the right one."""

    flagged: bool
    exact: bool
    near: bool
    second: bool | None = None
    false_alarm: bool | None = None


def score(truth: Truth, flagged: bool, blamed: Sequence[Blamed], causes: Sequence[str] = ()) -> Score:
    """Score an answer: whether anything was said to be wrong, and what is blamed, first culprit first."""
    if truth.blame == "nobody":
        silent = not flagged and not blamed
        return Score(flagged=flagged, exact=silent, near=silent, false_alarm=not silent)
    if truth.blame in {"input", "outputs"}:
        return _outside(truth, flagged, blamed, causes)
    first = blamed[:1]
    exact = any(hits(truth, each) for each in first)
    near = exact or any(_beside(truth, each) for each in first)
    second = None
    if truth.second:
        second = any(set(each.names) & set(truth.second) for each in blamed)
    return Score(flagged=flagged, exact=exact, near=near, second=second)


def _outside(truth: Truth, flagged: bool, blamed: Sequence[Blamed], causes: Sequence[str]) -> Score:
    """The fault lies before or after the model: no node may be blamed, and the input or output has to be."""
    nodes = [each for each in blamed if each.kind != "input"]
    named = bool(causes) and causes[0].startswith("input-" if truth.blame == "input" else "output-")
    said = named or len(nodes) < len(blamed)
    return Score(flagged=flagged or said, exact=said and not nodes, near=not nodes)


def hits(truth: Truth, blamed: Blamed) -> bool:
    """Whether a tensor is the guilty one: by name, or by module (and kind of operation) where the truth says so."""
    if set(blamed.names) & set(truth.exact):
        return True
    for wanted in truth.scopes:
        path, _, kind = wanted.partition(":")
        if blamed.scope == path and (not kind or blamed.kind == kind):
            return True
    return False


def _beside(truth: Truth, blamed: Blamed) -> bool:
    return bool(set(blamed.names) & set(truth.near)) or blamed.scope in truth.near_scopes


def judge(truth: Truth, result: Any, rms: Mapping[str, float]) -> dict[str, Any]:
    """Everything that is measured on one answer of the tool."""
    guilty = list(result.introduced)
    if truth.random and not guilty:
        guilty = [pair for pair in result.pairs if pair.verdict == "nondeterministic"]
    blamed = [Blamed((p.candidate.name, *p.candidate.names), p.candidate.scope, p.candidate.kind) for p in guilty]
    causes = [finding.id for finding in result.causes]
    may_doubt = truth.random or truth.blame in {"input", "outputs"}
    flagged = result.verdict != "aligned" if may_doubt else result.verdict == "diverged"
    found = score(truth, flagged, blamed, causes)
    scored = bool(truth.causes)
    coverage = result.comparison.coverage
    first = guilty[0] if guilty else None
    return {
        "verdict": result.verdict,
        "reason": result.comparison.reason,
        "first": None if first is None else first.candidate.name,
        "first_scope": None if first is None else first.candidate.scope,
        "introduced": [pair.candidate.name for pair in result.introduced[:8]],
        "causes": causes[:5],
        "proven": [finding.id for finding in result.causes if finding.explained is not None][:5],
        "flagged": found.flagged,
        "exact": found.exact,
        "near": found.near,
        "second": found.second,
        "false_alarm": found.false_alarm,
        "cause_first": causes[:1] != [] and causes[0] in truth.causes if scored else None,
        "cause_three": bool(set(causes[:3]) & set(truth.causes)) if scored else None,
        "coverage": [round(coverage.reference, 4), round(coverage.candidate, 4)],
        "pairs_right": pairs_right(result.pairs, rms) if truth.blame == "nobody" else None,
    }


def pairs_right(pairs: Sequence[Any], rms: Mapping[str, float]) -> list[int]:
    """(right, judged): pairs of a clean case whose values agree, among those with numbers."""
    right = judged = 0
    for pair in pairs:
        size = rms.get(pair.reference.name)
        if size is None:
            continue
        judged += 1
        right += pair.accumulated is not None and pair.accumulated.rmse <= PAIR_TOLERANCE * max(size, 1e-12)
    return [right, judged]


def root_mean_square(array: np.ndarray) -> float:
    """Over the finite elements, in float64."""
    if array.dtype.kind not in "fiub" or not array.size:
        return 0.0
    wide = array.astype(np.float64)
    wide = wide[np.isfinite(wide)]
    return float(np.sqrt(np.mean(wide**2))) if wide.size else 0.0
