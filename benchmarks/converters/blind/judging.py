"""What a comparison says of a pair, held against how it was made."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.converters.blind.drawing import Blind
from benchmarks.converters.blind.exporting import quiet
from benchmarks.converters.captured import captured
from benchmarks.converters.graph import Array
from benchmarks.converters.scoring import Outcome, by_report, same_numbers

FLAT = 1e-3
"""Two sides of a clean pair differ in mean and ends by no more than this share of the peak."""


def judge(case: Blind) -> Outcome:
    """Compare and score; a crash is a violation."""
    import aligner
    from aligner.errors import AlignerError

    made = Outcome(case.seed, case.network, case.fault, case.detail, "crashed")
    began = time.perf_counter()
    try:
        with quiet():
            report = aligner.compare(_target(case.reference), _target(case.candidate), case.inputs).to_json()
    except AlignerError as error:
        made.violations.append(f"refused: {str(error)[:300]}")
        return made
    except Exception as error:  # noqa: BLE001 - whatever is raised on a valid pair is a finding
        made.violations.append(f"crashed: {type(error).__name__}: {str(error)[:300]}")
        return made
    made.seconds = time.perf_counter() - began
    made.verdict, made.rule = report["verdict"], report.get("rule")
    made.causes = tuple(cause["id"] for cause in report["causes"][:3])
    if case.fault is None:
        _clean(case, report, made)
    else:
        _faulty(case, report, made)
    return made


def _target(model: Any) -> Any:
    return str(model) if isinstance(model, Path) else model


def _clean(case: Blind, report: Mapping[str, Any], made: Outcome) -> None:
    first = report["first_divergence"]
    if report["verdict"] != "aligned":
        kind = "false alarm" if case.precise else "fewer bits"
        made.violations.append(f"{kind}: {report['verdict']}: {report['reason'][:200]}")
        made.first = first and (first["reference"]["name"], first["candidate"]["name"])
    if not case.precise:
        return
    for pair in report["pairs"]:
        one, other = pair["reference"], pair["candidate"]
        if one["mean"] is None or other["mean"] is None:
            continue
        made.pairs += 1
        peak = max(abs(one["min"]), abs(one["max"]), 1e-30)
        same = all(abs(one[key] - other[key]) <= FLAT * peak for key in ("mean", "min", "max"))
        made.right += same
        if not same:
            made.wrong_pairs.append(f"{one['name']} ↔ {other['name']} ({pair['rule']})")
    by_report(report, made)


def _faulty(case: Blind, report: Mapping[str, Any], made: Outcome) -> None:
    first = report["first_divergence"]
    made.exact = made.inside = made.near = False
    if report["verdict"] == "aligned":
        made.violations.append("false peace: aligned over outputs that differ")
        return
    if first is None:
        made.violations.append(f"nowhere: {report['verdict']}: {report['reason'][:200]}")
        return
    made.first = (first["reference"]["name"], first["candidate"]["name"])
    inner = first.get("within") or {}
    nodes = {first["candidate"]["node"], inner.get("node")}
    (left, left_makers), (right, right_makers) = _captured(case.reference, case), _captured(case.candidate, case)
    answers = _holding(left, [case.wrong, *case.later])
    guilty = _holding(right, [case.made, *case.then])
    makers = {left_makers[name] for name in answers & left_makers.keys()}
    culprits = case.guilty | {right_makers[name] for name in guilty & right_makers.keys()}
    made.exact = bool(
        nodes & culprits
        or first["reference"]["name"].strip("/") in answers
        or first["candidate"]["name"].strip("/") in guilty
        or inner.get("reference_node") in makers
    )
    regions = {*(first.get("candidate_nodes") or ()), *(first.get("reference_nodes") or ())}
    made.inside = made.exact or bool((culprits | makers) & regions)
    made.near = made.inside
    if not made.exact:
        made.wrong_pairs.append(f"within {inner}, region {first.get('candidate_nodes')}, wanted {sorted(answers)[:4]}")


def _captured(model: Any, case: Blind) -> tuple[dict[str, Array], dict[str, str]]:
    """Every tensor of a side, and the node that makes it, by its name."""
    with quiet():
        values, makers = captured(_target(model), case.inputs)
    left, right = ({name.strip("/"): one for name, one in side.items()} for side in (values, makers))
    return left, right


def _holding(values: Mapping[str, Array], steps: Sequence[Sequence[Array]]) -> set[str]:
    """The tensors that hold the numbers of the first step of which any does."""
    for step in steps:
        found = {name for name, value in values.items() if any(same_numbers(value, each) for each in step)}
        if found:
            return found
    return set()
