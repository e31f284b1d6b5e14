"""Where the time of a comparison went, for ``--timing``."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console

from aligner.records.comparison import Comparison
from aligner.report.columns import Column, table
from aligner.report.numbers import percent
from aligner.report.page import Page

_TOTAL, _REST = "total", "between phases"

Row = tuple[str, float, float]


def print_timing(comparison: Comparison, console: Console) -> None:
    """Print one row for each phase, in the order in which they began, then their sum."""
    page = Page.of(console)
    page.heading("seconds by phase")
    rows = timing_rows(comparison.timing)
    if rows:
        page.print(table(page, _COLUMNS, rows, lambda row: "bold" if row[0] == _TOTAL else ""))
    else:
        page.print(page.text("this report does not say", "dim"))


def timing_rows(timing: Mapping[str, float]) -> list[Row]:
    """Phase, seconds and share of the total; what no phase accounts for is a row of its own."""
    phases = {name: seconds for name, seconds in timing.items() if name != _TOTAL}
    known = sum(phases.values())
    total = timing.get(_TOTAL, known)
    if total > known:
        phases[_REST] = total - known
    rows = [(name, seconds, seconds / total if total else 0.0) for name, seconds in phases.items()]
    return [*rows, (_TOTAL, total, 1.0)] if rows else []


_COLUMNS: list[Column[Row]] = [
    Column("phase", lambda row: row[0]),
    Column("seconds", lambda row: f"{row[1]:.2f}", right=True),
    Column("share", lambda row: percent(round(row[2], 3)), right=True),
]
