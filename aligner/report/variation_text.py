"""What the switches of a runtime change, on a terminal and as JSON, ``aligner.variations/1``."""

from __future__ import annotations

from rich.console import Console

from aligner.records.variation import Variation, Variations
from aligner.report.codec import Document, encode
from aligner.report.columns import Column, table
from aligner.report.numbers import number, plural
from aligner.report.page import Page
from aligner.report.words import STYLES

FORMAT = "aligner.variations/1"


def to_document(found: Variations) -> Document:
    """The variations as JSON's own types."""
    return {"format": FORMAT, "verdict": found.verdict, **encode(found)}


def headline(found: Variations) -> str:
    """ "DIVERGED under 2 of 7 settings — the first is optimization extended, at /norm/Add (LayerNormalization)"."""
    many = plural(len(found.variations), "setting")
    wrong = [one for one in found.variations if one.outcome == "diverged"]
    if not wrong:
        agreeing = sum(one.outcome in ("same", "aligned") for one in found.variations)
        return f"{found.verdict.upper()} under {agreeing} of {many}"
    where = f", at {_node(wrong[0])}" if wrong[0].first_divergence else ""
    return f"DIVERGED under {len(wrong)} of {many} — the first is {wrong[0].switch} {wrong[0].setting}{where}"


def print_variations(found: Variations, console: Console) -> None:
    """The headline, a line for each setting, and what is known of those that diverge."""
    page = Page.of(console)
    page.print(page.text(headline(found), f"bold {STYLES.get(found.verdict, 'green')}"))
    page.print(
        page.facts([("model", page.text(f"{found.model.path} — {found.model.framework}, {found.model.runtime}"))])
    )
    page.heading("settings", "largest difference of the outputs from the plainest setting")
    page.print(table(page, _COLUMNS, found.variations, lambda one: STYLES.get(one.outcome, "")))
    for one in found.variations:
        if one.outcome not in ("same", "aligned"):
            page.heading(f"{one.switch} {one.setting}", f"against {one.against}")
            page.print(page.facts((label, page.prose(words)) for label, words in _told(one)))
    for note in found.notes:
        page.print(page.prose(f"note: {note}"))


def _told(one: Variation) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = [(one.outcome, one.reason)]
    if one.first_divergence is not None:
        rows.append(("node", _node(one)))
    if one.steps:
        rows.append(("steps", f"right without {', '.join(one.steps)}"))
    rows += [("cause", f"{cause.id}: {cause.evidence}; {cause.suggestion}") for cause in one.causes[:1]]
    return rows


def _node(one: Variation) -> str:
    side = one.first_divergence.candidate if one.first_divergence is not None else None
    return f"{side.node or side.name} ({side.op})" if side is not None else ""


_COLUMNS: list[Column[Variation]] = [
    Column("switch", lambda one: one.switch),
    Column("setting", lambda one: one.setting),
    Column("against", lambda one: one.against, rank=2),
    Column("outcome", lambda one: one.outcome),
    Column("max abs", lambda one: number(one.error), right=True),
    Column("first wrong at", lambda one: _node(one) if one.outcome == "diverged" else "", flexible=True, rank=1),
]
