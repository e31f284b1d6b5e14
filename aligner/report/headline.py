"""The one line that answers: aligned, diverged where, or why it cannot be said."""

from __future__ import annotations

from rich.text import Text

from aligner.records.comparison import Comparison
from aligner.report.numbers import percent, plural
from aligner.report.page import Page
from aligner.report.words import STYLES, other_culprits, place

_NAME = 64
_KIND = {"nonfinite": "NaN or inf"}


def headline(page: Page, comparison: Comparison) -> Text:
    """The verdict, the place, the likeliest cause and how sure it is, how much was paired."""
    line = page.text(comparison.verdict.upper(), f"bold {STYLES[comparison.verdict]}")
    line.append_text(_WHERE[comparison.verdict](page, comparison))
    return line.append_text(_because(page, comparison)).append_text(_covered(page, comparison))


def _because(page: Page, comparison: Comparison) -> Text:
    if comparison.verdict != "diverged" or not comparison.causes:
        return page.text("")
    cause = comparison.causes[0]
    if cause.id == "unknown":
        return page.text("; cause unknown")
    return (
        page.text("; cause ").append_text(page.text(cause.id, "bold", _NAME)).append_text(page.text(f" ({cause.sure})"))
    )


def _covered(page: Page, comparison: Comparison) -> Text:
    shares = comparison.coverage
    return page.text(f"; coverage {percent(shares.reference)} / {percent(shares.candidate)}")


def _diverged(page: Page, comparison: Comparison) -> Text:
    first = comparison.first_divergence
    if first is None:
        failing = sum(pair.verdict != "aligned" for pair in comparison.outputs)
        if not failing and comparison.rule == "outputs-exchanged":
            return page.text(" at the outputs' names: every tensor agrees, under another output's name")
        blame = ", no node errs by itself" if any(pair.local for pair in comparison.pairs) else ""
        outputs = plural(len(comparison.outputs), "output")
        return page.text(f" at no single node: {failing:,} of {outputs} beyond tolerance{blame}")
    op = ", ".join(filter(None, (first.candidate.op or first.reference.op, _KIND.get(first.verdict, ""))))
    line = page.text(" at ").append_text(page.text(place(first.reference), "bold", _NAME))
    line.append_text(page.text(f" ({op})" if op else "", "", 32))
    line.append_text(page.text(" — candidate ")).append_text(page.text(first.candidate.name, "bold", _NAME))
    if first.within is not None and first.within.node != first.candidate.node:
        line.append_text(page.text(", inside it ")).append_text(page.text(first.within.node, "bold", _NAME))
    culprits = len(other_culprits(comparison)) + 1
    verb = "introduces" if culprits == 1 else "introduce"
    return line.append_text(page.text(f", {culprits:,} of {_pairs(comparison)} {verb} error"))


def _aligned(page: Page, comparison: Comparison) -> Text:
    agreeing = sum(pair.verdict == "aligned" for pair in comparison.pairs)
    many = _pairs(comparison) if agreeing == len(comparison.pairs) else f"{agreeing:,} of {_pairs(comparison)}"
    line = page.text(f" — {many} {'agrees' if agreeing == 1 else 'agree'} within rounding")
    beyond = sum(1 for pair in comparison.outputs if pair.accumulated is not None and pair.accumulated.beyond)
    if not beyond:
        return line
    outputs = plural(len(comparison.outputs), "output")
    return line.append_text(page.text(f", but {beyond:,} of {outputs} beyond --atol", "bold"))


def _inconclusive(page: Page, comparison: Comparison) -> Text:
    return page.text(" — ").append_text(page.prose(comparison.reason.rstrip(". ")))


def _pairs(comparison: Comparison) -> str:
    return plural(len(comparison.pairs), "pair")


_WHERE = {"diverged": _diverged, "aligned": _aligned, "inconclusive": _inconclusive}
