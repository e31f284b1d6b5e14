"""The first divergence: both sides' names and numbers, how far apart they are, and the cause."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aligner.records.comparison import Comparison, Finding, Pair, Side, TensorStatistics
from aligner.report.error_rows import error_rows
from aligner.report.numbers import ABSENT, count, number, shape, unique_count
from aligner.report.page import LONGEST_NAME, Page
from aligner.report.words import STYLES, floors, how_sure

_LABEL = 10
_WIDEST = 124
_ALIASES = 3
_LONGEST = 200
_REGION = 8


def divergence_panel(page: Page, comparison: Comparison) -> Panel | None:
    """The panel of the first divergence, None where there is none."""
    pair = comparison.first_divergence
    if pair is None:
        return None
    parts: list[RenderableType] = []
    for cause in comparison.causes[:1]:
        parts += [cause_facts(page, cause), Text()]
    if pair.note:
        parts += [page.facts([("note", page.prose(pair.note))], _LABEL), Text()]
    parts += [_sides(page, comparison, pair), Text(), _errors(page, pair)]
    return Panel(
        Group(*parts),
        title=page.text("first divergence", "bold"),
        title_align="left",
        border_style=STYLES[pair.verdict],
        width=min(page.width, _WIDEST),
        padding=(0, 1),
    )


def cause_facts(page: Page, cause: Finding) -> Table:
    """A finding in three lines: what, the evidence, what to do."""
    what = (
        page.text(cause.id, "bold")
        .append_text(page.text(" at "))
        .append_text(page.text(cause.node, width=LONGEST_NAME))
    )
    return page.facts(
        [
            ("cause", what.append_text(page.text(f" — {how_sure(cause)}"))),
            ("evidence", page.prose(cause.evidence)),
            ("fix", page.prose(cause.suggestion, "bold")),
        ],
        _LABEL,
    )


def _grid() -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0), expand=True)
    grid.add_column(width=_LABEL, no_wrap=True)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_column(ratio=1, overflow="fold")
    return grid


def _sides(page: Page, comparison: Comparison, pair: Pair) -> Table:
    grid = _grid()
    grid.add_row(
        Text(),
        page.text(f"reference ({comparison.reference.framework})", "bold"),
        page.text(f"candidate ({comparison.candidate.framework})", "bold"),
    )
    ours = dict(_facts(pair.reference, pair.reference_nodes))
    theirs = dict(_facts(pair.candidate, pair.candidate_nodes))
    if pair.axes is not None:
        theirs["shape"] += f"  (reference axes {', '.join(map(str, pair.axes))})"
    for label in ours:
        if ours[label] or theirs[label]:
            style = "bold" if label == "tensor" else ""
            sides = (page.text(facts[label] or ABSENT, style, _LONGEST) for facts in (ours, theirs))
            grid.add_row(page.text(label, "dim"), *sides)
    if pair.within is not None:
        lost = f" ({pair.within.reference_node})" if pair.within.reference_node else ""
        cells = page.text(f"{pair.within.primitive}{lost}"), page.text(pair.within.node, "bold", _LONGEST)
        grid.add_row(page.text("within", "dim"), *cells)
    return grid


def _facts(side: Side, nodes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every label comes out on both sides; one that is empty on both is not printed."""
    numbers = side.statistics
    yield "tensor", side.name
    yield "index", "" if side.index is None else str(side.index)
    yield "also", ", ".join(side.names[:_ALIASES])
    yield "node", side.node if side.node != side.name else ""
    yield "op", side.op
    yield "region", _region(nodes)
    yield "scope", side.scope or ""
    yield "source", side.source or ""
    yield "shape", shape(side.shape)
    yield "dtype", side.dtype or ""
    yield "mean", number(numbers.mean, 6)
    yield "range", f"{number(numbers.min, 6)} … {number(numbers.max, 6)}"
    yield "unique", _unique(numbers)
    yield "NaN, inf", f"{count(numbers.nan)}, {count(numbers.inf)}" if numbers.nan or numbers.inf else ""


def _region(nodes: Sequence[str]) -> str:
    """The nodes that make this tensor together; empty for a single one."""
    if len(nodes) < 2:
        return ""
    few = nodes if len(nodes) <= _REGION else [*nodes[: _REGION // 2], "…", *nodes[-_REGION // 2 :]]
    return f"{len(nodes)} nodes: {', '.join(few)}"


def _unique(numbers: TensorStatistics) -> str:
    if numbers.unique is None:
        return ""
    head, tail = (" ".join(number(value, 4) for value in few) for few in (numbers.unique_head, numbers.unique_tail))
    whole = numbers.unique <= len(numbers.unique_head) and not numbers.unique_estimated
    values = head if whole or not tail else f"{head} … {tail}"
    return f"{unique_count(numbers)}: {values}" if values else unique_count(numbers)


def _errors(page: Page, pair: Pair) -> Table:
    grid = _grid()
    title = "accumulated (from the inputs on)"
    local, accumulated = error_rows(pair.local), error_rows(pair.accumulated)
    if pair.local is None:
        grid.add_row(page.text("error", "bold"), page.text(title, "bold"), page.text("local: not measured", "dim"))
    else:
        grid.add_row(page.text("error", "bold"), page.text("local (this node alone)", "bold"), page.text(title, "bold"))
    for label in accumulated or local or {"": ""}:
        cells = [accumulated.get(label, ABSENT), ""]
        if pair.local is not None:
            cells = [local[label], cells[0]]
        grid.add_row(page.text(label, "dim"), *(page.text(cell) for cell in cells))
    for label, floor, beyond in floors(pair):
        grid.add_row(page.text(label, "dim"), page.text(number(floor, 4) + beyond), Text())
    return grid
