"""The pairs as tidy rows, for pandas and CSV."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from aligner.records.comparison import Comparison, Errors, Pair, Side, TensorStatistics
from aligner.report.selection import EVERYTHING, Selection

_SIDE = ("name", "node", "op", "kind", "index", "scope", "source", "shape", "dtype")
_STATISTICS = tuple(item.name for item in fields(TensorStatistics))
_ERRORS = tuple(item.name for item in fields(Errors))

COLUMNS: tuple[str, ...] = (
    "position",
    "verdict",
    "first",
    "output",
    "rule",
    "confidence",
    "axes",
    *(f"reference_{name}" for name in _SIDE),
    *(f"candidate_{name}" for name in _SIDE),
    *(f"accumulated_{name}" for name in _ERRORS),
    *(f"local_{name}" for name in _ERRORS),
    "bound",
    "noise",
    *(f"reference_{name}" for name in _STATISTICS),
    *(f"candidate_{name}" for name in _STATISTICS),
    "note",
)
"""Columns of a row, in order.

``position`` counts pairs from 1 in the candidate's order; ``first`` marks the first divergence and ``output`` the
models' outputs; ``reference_…`` and ``candidate_…`` are the fields of a SIDE, ``accumulated_…`` and ``local_…`` those
of ERRORS in the JSON report. What was not measured is None; shapes, axes and indices are tuples.
"""


def pairs_records(comparison: Comparison, selection: Selection = EVERYTHING) -> list[dict[str, Any]]:
    """One row for each pair that is asked for, every row with all of ``COLUMNS``."""
    return [_row(comparison, place, comparison.pairs[place]) for place in selection.places(comparison)]


def _row(comparison: Comparison, position: int, pair: Pair) -> dict[str, Any]:
    row: dict[str, Any] = {
        "position": position + 1,
        "verdict": pair.verdict,
        "first": pair is comparison.first_divergence or pair == comparison.first_divergence,
        "output": pair in comparison.outputs,
        "rule": pair.rule,
        "confidence": pair.confidence,
        "axes": pair.axes,
        "bound": pair.bound,
        "noise": pair.noise,
        "note": pair.note,
    }
    row |= _side("reference", pair.reference) | _side("candidate", pair.candidate)
    row |= _errors("accumulated", pair.accumulated) | _errors("local", pair.local)
    return {name: row[name] for name in COLUMNS}


def _side(prefix: str, side: Side) -> dict[str, Any]:
    own = {f"{prefix}_{name}": getattr(side, name) for name in _SIDE}
    return own | {f"{prefix}_{name}": getattr(side.statistics, name) for name in _STATISTICS}


def _errors(prefix: str, errors: Errors | None) -> dict[str, Any]:
    return {f"{prefix}_{name}": None if errors is None else getattr(errors, name) for name in _ERRORS}
