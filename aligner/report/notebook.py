"""A comparison and its pairs as HTML for notebooks: static, styled inline, so that a saved page shows the same."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.console import Console

from aligner.records.comparison import Comparison, Pair, Side
from aligner.records.dataclass import dataclass
from aligner.report.divergence_panel import divergence_panel
from aligner.report.error_rows import error_rows, listed
from aligner.report.html import cause_view, environment, shown
from aligner.report.numbers import ABSENT, index, number, percent, shape, unique_count
from aligner.report.page import Page, shorten
from aligner.report.pair_table import around, rows, within
from aligner.report.portable import portable
from aligner.report.preview_view import preview_views
from aligner.report.words import MARKS, how_much, label, largest, operation, other_culprits, place, tally

COLOURS = {
    "aligned": "#2e7d32",
    "introduced": "#d32f2f",
    "inherited": "#b8860b",
    "nonfinite": "#d32f2f",
    "nondeterministic": "#9c4bab",
    "incomparable": "#1683a0",
    "diverged": "#d32f2f",
    "inconclusive": "#b8860b",
}
"""Readable on white and on black: a notebook does not say which it has."""


@dataclass(frozen=True, slots=True)
class PairView:
    """One pair as a notebook shows it, and as plain text elsewhere."""

    comparison: Comparison
    pair: Pair

    def _repr_html_(self) -> str:
        return pair_html(self.comparison, self.pair)

    def __repr__(self) -> str:
        return pair_text(self.comparison, self.pair)


def comparison_html(comparison: Comparison) -> str:
    """The verdict, node, cause and cure, the neighbourhood of the first divergence, the outputs."""
    comparison = portable(comparison)
    first = comparison.first_divergence
    near = [
        {
            "position": row.position,
            "first": row.first,
            "names": (label(row.pair.reference), label(row.pair.candidate)),
            "op": operation(row.pair),
            "accumulated": number(largest(row.pair.accumulated)),
            "local": number(largest(row.pair.local)),
            "mark": MARKS[row.pair.verdict].strip(),
            "colour": COLOURS[row.pair.verdict],
        }
        for row in around(rows(comparison), comparison)
    ]
    return _render(
        "comparison.html.j2",
        comparison=comparison,
        colour=COLOURS[comparison.verdict],
        first=first,
        first_name="" if first is None else shorten(place(first.reference), 72),
        size="" if first is None else how_much(first),
        causes=[cause_view(comparison, cause) for cause in comparison.causes[:2]],
        tally=tally(comparison.pairs),
        others=len(other_culprits(comparison)),
        near=near,
        outputs=[(pair, within(pair), label(pair.candidate)) for pair in comparison.outputs[:6]],
        pictures=_pictures(comparison, first),
    )


def pair_html(comparison: Comparison, pair: Pair) -> str:
    """Both sides of a pair, its errors, and its pictures where it has any."""
    position = next((place for place, item in enumerate(comparison.pairs) if item is pair), None)
    comparison = portable(comparison)
    pair = pair if position is None else comparison.pairs[position]
    return _render(
        "pair.html.j2",
        comparison=comparison,
        pair=pair,
        position=None if position is None else position + 1,
        name=place(pair.reference),
        op=operation(pair),
        mark=MARKS[pair.verdict].strip(),
        colour=COLOURS[pair.verdict],
        sides=_sides(pair),
        errors=_errors(pair),
        floors=_floors(pair),
        pictures=_pictures(comparison, pair),
    )


def pair_text(comparison: Comparison, pair: Pair, width: int = 110) -> str:
    """The terminal's panel for any pair."""
    causes = tuple(cause for cause in comparison.causes if cause.speaks_of(pair))
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False, force_jupyter=False)
    page = Page.of(console)
    panel = divergence_panel(page, replace(comparison, first_divergence=pair, causes=causes))
    if panel is not None:
        panel.title = page.text(f"{place(pair.reference)}: {MARKS[pair.verdict].strip()}")
        page.print(panel)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text.rstrip("\n")


def _render(template: str, **context: Any) -> str:
    return environment().get_template(template).render(**context)


def _pictures(comparison: Comparison, pair: Pair | None) -> dict[str, Any] | None:
    for preview in comparison.previews:
        if pair is not None and preview.pair < len(comparison.pairs) and comparison.pairs[preview.pair] is pair:
            return preview_views(preview)
    return None


_SIDE: tuple[tuple[str, Callable[[Side], str]], ...] = (
    ("tensor", lambda side: side.name if side.index is None else f"{side.name} #{side.index}"),
    ("node", lambda side: side.node),
    ("op", lambda side: side.op),
    ("module", lambda side: side.scope or ""),
    ("source", lambda side: side.source or ""),
    ("shape", lambda side: shape(side.shape)),
    ("dtype", lambda side: side.dtype or ""),
    ("mean", lambda side: number(side.statistics.mean, 6)),
    ("range", lambda side: f"{number(side.statistics.min, 6)} … {number(side.statistics.max, 6)}"),
    ("unique", lambda side: unique_count(side.statistics)),
    ("NaN, inf", lambda side: f"{side.statistics.nan:,}, {side.statistics.inf:,}"),
)


def _sides(pair: Pair) -> list[tuple[str, str, str]]:
    lines = [(name, shown(read(pair.reference)), shown(read(pair.candidate))) for name, read in _SIDE]
    return [line for line in lines if line[1] or line[2]]


def _errors(pair: Pair) -> list[tuple[str, str, str]]:
    local, accumulated = error_rows(pair.local), error_rows(pair.accumulated)
    labels = (item["label"] for item in listed())
    return [(label, local.get(label, ABSENT), accumulated.get(label, ABSENT)) for label in labels]


def _floors(pair: Pair) -> list[tuple[str, str]]:
    facts = [
        ("bound", "" if pair.bound is None else number(pair.bound, 4)),
        ("noise", "" if pair.noise is None else number(pair.noise, 4)),
        ("axes", "" if pair.axes is None else f"candidate = transpose(reference, {index(pair.axes)})"),
        ("paired by", f"{pair.rule}, confidence {percent(pair.confidence)}"),
        ("note", pair.note or ""),
    ]
    return [(name, shown(text)) for name, text in facts if text]
