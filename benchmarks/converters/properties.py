"""What must hold for any two models, checked without the engine: by onnxruntime and by how the case was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aligner.records.axis_order import to_candidate
from benchmarks.converters.case import Case
from benchmarks.converters.graph import Array, run

MENDED = 1e-4
"""Outputs agree again, in parts of the peak, once the culprits make what the reference makes.

A tenth of the least effect of a fault that counts (``case.FAULT_SHOWS``), ten times what rewriting may move.
"""


def violations(case: Case, report: Mapping[str, Any], again: Mapping[str, Any] | None = None) -> list[str]:
    """The properties that a report breaks, in words."""
    found = []
    if case.planted is None:
        if report["verdict"] != "aligned":
            found.append(f"false alarm: {report['verdict']} on a clean pair")
    else:
        if report["verdict"] == "aligned":
            found.append("false peace: aligned over outputs that differ")
        elif report["verdict"] == "inconclusive":
            found.append("nowhere: inconclusive over outputs that differ")
        elif report["first_divergence"] is None and not report.get("interval"):
            found.append("nowhere: diverged without a place")
        elif not report["introduced"]:
            found.append("nowhere: diverged without a culprit")
        elif (share := _left_after(case, report)) is not None and share > MENDED:
            found.append(
                f"insufficient: with {len(report['introduced'])} culprits mended outputs are off by {share:.1e}"
            )
    found += unfounded(report)
    found += _unnecessary(case, report)
    if again is not None and _gist(report) != _gist(again):
        found.append("not deterministic")
    missing = (
        set()
        if case.recipe.torch
        else set(case.reference.outputs) - {pair["reference"]["name"] for pair in report["outputs"]}
    )
    if missing and report["verdict"] == "aligned":
        found.append(f"outputs not compared: {sorted(missing)}")
    return found


def unfounded(report: Mapping[str, Any]) -> list[str]:
    """No chain of excuses ends in an excused pair: what is inherited has somewhere to come from."""
    said = {pair["verdict"] for pair in report["pairs"]}
    if "inherited" not in said or said & {"introduced", "nonfinite", "nondeterministic", "incomparable"}:
        return []
    names = [pair["candidate"]["name"] for pair in report["pairs"] if pair["verdict"] == "inherited"]
    return [f"unfounded: {names[0]} inherits what no pair introduces"] if report["verdict"] == "aligned" else []


def _unnecessary(case: Case, report: Mapping[str, Any]) -> list[str]:
    """Culprits that are said to be necessary, with which outputs agree once the others alone are mended."""
    named = [one["name"] for one in (report.get("certificate") or {}).get("culprits", ()) if one["necessary"]]
    left = {name: _left_after(case, report, kept=name) for name in named}
    return [
        f"unnecessary: outputs agree with {name} as it is"
        for name, share in left.items()
        if share is not None and share <= MENDED / 10
    ]


def _gist(report: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        report["verdict"],
        [pair["candidate"]["name"] for pair in report["introduced"]],
        [(cause["id"], cause["node"]) for cause in report["causes"]],
    )


def _left_after(case: Case, report: Mapping[str, Any], *, kept: str | None = None) -> float | None:
    """How far outputs stay off where every culprit, but for one that is kept, makes the reference's tensor.

    None where a tensor does not fit.
    """
    if case.recipe.torch:
        return None
    graph, inputs = case.candidate.copy(), set(case.candidate.feeds)
    for pair in report["introduced"]:
        name, answer = pair["candidate"]["name"], case.reference.values.get(pair["reference"]["name"])
        if name == kept:
            continue
        if answer is None or name in inputs or name not in case.candidate.values:
            return None
        value = moved(answer, pair["axes"], case.candidate.values[name])
        if value is None:
            return None
        graph.redirect(name, graph.keep(value))
    try:
        got, wanted = run(graph), run(case.reference)
    except Exception:  # noqa: BLE001 - a model that cannot be cut there says nothing
        return None
    return max(apart(wanted[name], got[name]) for name in wanted)


def moved(answer: Array, axes: list[int] | None, like: Array) -> Array | None:
    """The reference's tensor as the candidate keeps it."""
    return to_candidate(answer, tuple(axes) if axes else None, like.shape)


def apart(wanted: Array, got: Array) -> float:
    if wanted.shape != got.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got.astype(np.float64) - wanted).max() / max(np.abs(wanted).max(), 1e-30))
