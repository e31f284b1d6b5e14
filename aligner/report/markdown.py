"""The comparison as Markdown for an issue, a pull request's comment or a job's summary."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from aligner.records.comparison import Comparison, Finding, Pair
from aligner.report.document_file import write_text
from aligner.report.numbers import ABSENT, number, percent, plural, shape
from aligner.report.page import sentence, shorten, visible
from aligner.report.pair_table import PairRow, around, rows, within
from aligner.report.portable import portable
from aligner.report.selection import EVERYTHING, Selection
from aligner.report.words import MARKS, how_much, how_sure, label, largest, operation, other_culprits, place, tally

_CULPRITS, _OUTPUTS, _NOTES, _CAUSES = 20, 10, 10, 5
_SELECTED, _NAME, _PROSE = 100, 120, 2000
_SYMBOLS = {"aligned": "✅", "diverged": "❌", "inconclusive": "❔"}

_SPECIAL = re.compile(r"([\\`*{}\[\]<>|~]|(?<!\w)_|_(?!\w))")
_REFERENCE = re.compile(r"([@#])(?=\w)")


def write_markdown(comparison: Comparison, target: Path | TextIO, selection: Selection = EVERYTHING) -> None:
    """Write the report to a file (whole or not at all) or to an open stream.

    A selection takes the place of the pairs around the first disagreement.
    Raises OutputError where the target cannot be written.
    """
    write_text(to_markdown(comparison, selection), target)


def to_markdown(comparison: Comparison, selection: Selection = EVERYTHING) -> str:
    """The report as GitHub-flavoured Markdown; absolute paths are shortened."""
    return "\n".join(_lines(portable(comparison), selection)) + "\n"


def code(text: str | None, width: int = _NAME) -> str:
    """A name as a code span that no name can leave, in a table neither."""
    safe = shorten(visible(text or ""), width).replace("|", "\\|")
    if not safe:
        return ABSENT
    fence = "`" * (max((len(run) for run in re.findall("`+", safe)), default=0) + 1)
    pad = " " if safe.startswith("`") or safe.endswith("`") else ""
    return f"{fence}{pad}{safe}{pad}{fence}"


def prose(text: str) -> str:
    """A sentence whose characters mean nothing to Markdown; it mentions nobody and links no issue."""
    safe = _SPECIAL.sub(r"\\\1", visible(sentence(text[:_PROSE])))
    return _REFERENCE.sub("\\1\u200b", safe)


def _lines(comparison: Comparison, selection: Selection) -> Iterator[str]:
    yield f"### {_SYMBOLS[comparison.verdict]} {_title(comparison)}"
    yield ""
    models = f"{code(comparison.reference.path)} → {code(comparison.candidate.path)}"
    yield f"{models}: {tally(comparison.pairs) or 'no pairs'}"
    yield ""
    yield from _answer(comparison)
    yield from _selected(comparison, selection) if selection else _near(comparison)
    yield from _outputs(comparison.outputs)
    yield from _culprits(comparison)
    yield from _circumstances(comparison)


def _title(comparison: Comparison) -> str:
    first = comparison.first_divergence
    if first is None:
        reason = comparison.reason.rstrip(". ")
        agreeing = f"{plural(len(comparison.pairs), 'pair')} within rounding"
        words = prose(reason) if comparison.verdict != "aligned" and reason else agreeing
        return f"{comparison.verdict.upper()}: {words}"
    op = f" ({prose(first.candidate.op)})" if first.candidate.op else ""
    return f"{comparison.verdict.upper()} at {code(place(first.reference))}{op}"


def _answer(comparison: Comparison) -> Iterator[str]:
    first = comparison.first_divergence
    if first is not None:
        source = f", {code(first.reference.source)}" if first.reference.source else ""
        reference = f"{code(first.reference.name)}{source}"
        inside = (
            f", inside it {code(first.within.node)}"
            if first.within is not None and first.within.node != first.candidate.node
            else ""
        )
        yield f"- **where**: candidate {code(first.candidate.name)}{inside} answers reference {reference}"
        yield f"- **how much**: {how_much(first)}"
    for cause in comparison.causes[:_CAUSES]:
        yield from _cause(cause)
    if not comparison.causes and comparison.reason and (first is not None or comparison.verdict == "aligned"):
        yield f"- **why**: {prose(comparison.reason)}"
    if comparison.next_step:
        yield f"- **next**: {code(comparison.next_step, _PROSE)}"
    yield ""


def _cause(cause: Finding) -> Iterator[str]:
    yield f"- **why**: {code(cause.id)} at {code(cause.node)} ({how_sure(cause)}): {prose(cause.evidence)}"
    yield f"  - **what to do**: {prose(cause.suggestion)}"


def _near(comparison: Comparison) -> Iterator[str]:
    near = around(rows(comparison), comparison)
    if near:
        yield "#### Around the first disagreement"
        yield ""
        yield from _pair_table(near)


def _selected(comparison: Comparison, selection: Selection) -> Iterator[str]:
    chosen = rows(comparison, selection.pairs(comparison))
    words = prose(selection.words)
    yield f"#### {words[:1].upper()}{words[1:]}: {len(chosen):,} of {len(comparison.pairs):,}"
    yield ""
    if chosen:
        yield from _pair_table(chosen[:_SELECTED])
    if len(chosen) > _SELECTED:
        yield f"{len(chosen) - _SELECTED:,} more."
        yield ""


def _pair_table(shown: Sequence[PairRow]) -> Iterator[str]:
    yield "| # | reference | candidate | op | accumulated | local | bound | verdict |"
    yield "|--:|---|---|---|--:|--:|--:|---|"
    for row in shown:
        pair = row.pair
        errors = (number(largest(item)) for item in (pair.accumulated, pair.local))
        cells = [
            f"▶ {row.position}" if row.first else str(row.position),
            code(label(pair.reference)),
            code(label(pair.candidate)),
            prose(operation(pair)),
            *errors,
            number(pair.bound),
            MARKS[pair.verdict].strip(),
        ]
        yield "| " + " | ".join(cells) + " |"
    yield ""


def _outputs(outputs: Sequence[Pair]) -> Iterator[str]:
    if not outputs:
        return
    yield "#### Outputs"
    yield ""
    yield "| reference | candidate | shape | max abs | within tolerance |"
    yield "|---|---|---|--:|---|"
    for pair in outputs[:_OUTPUTS]:
        errors = pair.accumulated
        beyond = "" if errors is None else f": {percent(errors.beyond)} of elements beyond"
        names = f"{code(label(pair.reference))} | {code(label(pair.candidate))}"
        answer = "yes" if within(pair) else f"**NO**{beyond}"
        yield f"| {names} | {shape(pair.candidate.shape)} | {number(largest(errors))} | {answer} |"
    if len(outputs) > _OUTPUTS:
        yield f"\n{len(outputs) - _OUTPUTS:,} more outputs."
    yield ""


def _culprits(comparison: Comparison) -> Iterator[str]:
    others = other_culprits(comparison)
    if not others:
        return
    yield f"<details><summary>{plural(len(others), 'other culprit')}</summary>"
    yield ""
    yield from _pair_table(rows(comparison, others[:_CULPRITS]))
    if len(others) > _CULPRITS:
        yield f"{len(others) - _CULPRITS:,} more."
        yield ""
    yield "</details>"
    yield ""


def _circumstances(comparison: Comparison) -> Iterator[str]:
    shares = comparison.coverage
    yield "<details><summary>Circumstances</summary>"
    yield ""
    for side, model in (("reference", comparison.reference), ("candidate", comparison.candidate)):
        runs_on = f"{prose(model.framework)}, {prose(model.runtime)}"
        yield f"- {side}: {code(model.path)}, {runs_on}, {plural(model.nodes, 'node')}"
    yield f"- coverage: {percent(shares.reference)} / {percent(shares.candidate)}"
    tolerance = comparison.tolerance
    allowed = f"{number(tolerance.atol)} + {number(tolerance.rtol)}·\\|reference\\|"
    yield f"- tolerance of outputs: {allowed}; {prose(tolerance.rule)}"
    for fed in comparison.inputs:
        shown = fed.reference if fed.reference == fed.candidate else f"{fed.reference} / {fed.candidate}"
        yield f"- fed {code(fed.name)}: {prose(fed.source)} → {prose(shown or ABSENT)}"
    for note in comparison.notes[:_NOTES]:
        yield f"- note: {prose(note)}"
    if comparison.command:
        yield f"- command: {code(comparison.command)}"
    yield ""
    yield "</details>"
