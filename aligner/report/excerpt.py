"""The report in some thirty lines of plain text, for places that have no terminal: a failing test, a log."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console

from aligner.records.comparison import Comparison, Finding, ModelSummary, Pair, Side
from aligner.records.dataclass import dataclass
from aligner.report.certificate_words import certificate_lines
from aligner.report.error_rows import error_rows, listed
from aligner.report.headline import headline
from aligner.report.numbers import ABSENT, number, plural, shape
from aligner.report.page import Page, sentence, shorten, visible
from aligner.report.words import floors, how_sure, other_culprits, place, runs_on

LINES, WIDTH = 30, 112
_LABEL = 11
_COLUMN = (WIDTH - _LABEL) // 2
_NOTES, _OTHERS = 3, 3
_IMPORTANT = 4
"""Numbers of an error that are less important are left out."""

Facts = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Line:
    """``rank`` 0 always stays; the highest goes first where there is no room."""

    text: str
    rank: int = 0


def excerpt(comparison: Comparison, *, title: str | None = None, before: Facts = (), after: Facts = ()) -> str:
    """The verdict's line, the first divergence on both sides, its cause, and how it was found; some 30 lines.

    ``title`` replaces the verdict's line; ``before`` stands under it, ``after`` at the end: neither is ever cut.
    """
    lines = [
        _Line(_prose(title) if title else one_line(comparison)),
        *(_Line(_fact(label, text)) for label, text in before),
        *_models(comparison),
        *_causes(comparison.causes),
        *_divergence(comparison),
        *_judged(comparison),
        *_circumstances(comparison),
        *(_Line(_fact(label, text)) for label, text in after),
    ]
    return "\n".join(line.text.rstrip() for line in _fitting(lines))


def one_line(comparison: Comparison) -> str:
    """The verdict, the place, how much was paired."""
    console = Console(file=io.StringIO(), width=400, color_system=None, legacy_windows=False)
    return headline(Page.of(console), comparison).plain


def _fitting(lines: list[_Line]) -> list[_Line]:
    kept = list(lines)
    while len(kept) > LINES and any(line.rank for line in kept):
        highest = max(line.rank for line in kept)
        last = max(place for place, line in enumerate(kept) if line.rank == highest)
        del kept[last]
    return kept


def _prose(text: str) -> str:
    return visible(sentence(text))


def _fact(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{visible(text)}"


def _whole(label: str, text: str) -> Iterator[_Line]:
    """A sentence of which nothing is ever cut."""
    for number_, line in enumerate(textwrap.wrap(_prose(text), WIDTH - _LABEL)):
        yield _Line(_fact("" if number_ else label, line))


def _wrapped(label: str, text: str, most: int, rank: int = 0) -> Iterator[_Line]:
    """A sentence in at most ``most`` lines; the ones after the first may go before it does."""
    width = WIDTH - _LABEL
    lines = textwrap.wrap(shorten(_prose(text), most * (width - 12)), width)[:most]
    for number_, line in enumerate(lines):
        yield _Line(_fact("" if number_ else label, line), rank + number_)


def _models(comparison: Comparison) -> Iterator[_Line]:
    for role, summary in (("reference", comparison.reference), ("candidate", comparison.candidate)):
        yield _Line(_fact(role, _model(summary)), 1)


def _model(summary: ModelSummary) -> str:
    known = runs_on(summary.framework, summary.runtime)
    return f"{shorten(summary.path, WIDTH // 2)} — {known}, {plural(summary.nodes, 'node')}"


def _judged(comparison: Comparison) -> Iterator[_Line]:
    if comparison.rule:
        yield _Line(_fact("rule", comparison.rule), 2)
    for line in certificate_lines(comparison):
        yield from _wrapped("certified", line, 2, 1)


def _causes(causes: Sequence[Finding]) -> Iterator[_Line]:
    if not causes:
        return
    cause = causes[0]
    yield _Line(_fact("cause", f"{cause.id} at {shorten(cause.node, 48)} — {how_sure(cause)}"))
    yield from _whole("evidence", cause.evidence)
    yield from _whole("fix", cause.suggestion)


def _divergence(comparison: Comparison) -> Iterator[_Line]:
    """The first divergence; else what nothing can be said of, else the worst output that is beyond tolerance."""
    unclear = (pair for pair in comparison.pairs if pair.verdict in {"nondeterministic", "incomparable"})
    pair = comparison.first_divergence or next(unclear, None) or worst(beyond(comparison.outputs))
    if pair is None:
        return
    names = f"reference ({comparison.reference.framework})", f"candidate ({comparison.candidate.framework})"
    yield _Line("", 9)
    yield _columns("", *names, 1)
    ours, theirs = _side(pair.reference), _side(pair.candidate)
    if pair.axes is not None:
        theirs["shape"] = (theirs["shape"][0] + f"  (axes {', '.join(map(str, pair.axes))})", 1)
    for label, (text, rank) in ours.items():
        if text or theirs[label][0]:
            yield _columns(label, text, theirs[label][0], rank)
    yield _Line("", 9)
    yield from _errors(pair)
    if pair.note:
        yield from _wrapped("note", pair.note, 2)


def _side(side: Side) -> dict[str, tuple[str, int]]:
    """Label → (fact, rank)."""
    numbers = side.statistics
    low, high = number(numbers.min, 4), number(numbers.max, 4)
    index_ = "" if side.index is None else f" #{side.index}"
    return {
        "tensor": (side.name + index_, 0),
        "op": (side.op, 0),
        "module": (side.scope or "", 2),
        "source": (side.source or "", 0),
        "shape": (f"{shape(side.shape)} {side.dtype or ''}".strip(), 1),
        "values": (f"mean {number(numbers.mean, 4)}, {low} … {high}" if numbers.min is not None else "", 2),
        "NaN, inf": (f"{numbers.nan}, {numbers.inf}" if numbers.nan or numbers.inf else "", 1),
    }


def _columns(label: str, left: str, right: str, rank: int = 0) -> _Line:
    cells = [shorten(visible(text or ABSENT), _COLUMN - 2) for text in (left, right)]
    return _Line(f"{label:<{_LABEL}}{cells[0]:<{_COLUMN}}{cells[1]}", rank)


def _errors(pair: Pair) -> Iterator[_Line]:
    local = "local (this node alone)" if pair.local else "local: not measured"
    yield _columns("error", local, "accumulated (from the inputs on)", 1)
    ours, theirs = (error_rows(errors, importance=_IMPORTANT) for errors in (pair.local, pair.accumulated))
    for item in listed():
        label = item["label"]
        if label in ours or label in theirs:
            yield _columns(label, ours.get(label, ""), theirs.get(label, ""), item["importance"])
    held = [f"{label} {number(floor)}{beyond}" for label, floor, beyond in floors(pair)]
    if held:
        yield _Line(_fact("floor", ", ".join(held)), 1)


def _circumstances(comparison: Comparison) -> Iterator[_Line]:
    others = other_culprits(comparison)
    if others:
        few = ", ".join(shorten(place(pair.reference), 28) for pair in others[:_OTHERS])
        more = "" if len(others) <= _OTHERS else ", …"
        yield _Line(_fact("others", f"{plural(len(others), 'more culprit')}: {few}{more}"), 1)
    sides = (("reference", comparison.reference), ("candidate", comparison.candidate))
    notes = [*(f"{role}: {note}" for role, side in sides for note in side.notes), *comparison.notes]
    for note in notes[:_NOTES]:
        yield from _wrapped("note", note, 2, 5)


def beyond(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs that break numpy's rule, |c − r| ≤ atol + rtol·|r|, anywhere, or cannot be held against it."""
    return [pair for pair in pairs if pair.accumulated is None or pair.accumulated.beyond > 0]


def worst(pairs: Sequence[Pair]) -> Pair | None:
    """The pair with the largest accumulated error; one that has no number is worse than any."""
    return max(pairs, key=severity, default=None)


def severity(pair: Pair) -> tuple[bool, float]:
    """Orders pairs by their accumulated max abs, what has none or NaN last."""
    error = pair.accumulated.max_abs if pair.accumulated is not None else float("nan")
    return (error != error, 0.0 if error != error else error)
