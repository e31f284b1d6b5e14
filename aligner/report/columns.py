"""Tables whose columns give way: the least important ones leave first, then names lose their middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from aligner.report.distinct_names import shortened
from aligner.report.page import Page

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column: its words for a row, and how it behaves when room is short.

    ``rank`` 0 stays always; the highest rank leaves first. A ``flexible`` column may be cut down to ``least`` cells;
    any other is never wider than ``most``. Where a flexible column lacks room, ``brief`` says it in fewer letters; with
    ``wrap`` it continues on the next line instead of losing its middle.
    """

    title: str
    cell: Callable[[Row], str]
    rank: int = 0
    brief: Callable[[Row], str] | None = None
    right: bool = False
    flexible: bool = False
    wrap: bool = False
    least: int = 16
    most: int = 24


def table(
    page: Page,
    columns: Sequence[Column[Row]],
    rows: Sequence[Row],
    style: Callable[[Row], str] = lambda _: "",
    *,
    indent: int = 0,
) -> Table:
    """A table that fits the page; a column that is empty in every row is left out."""
    cells = {
        column.title: [page.plain(column.cell(row), 400 if column.flexible else column.most) for row in rows]
        for column in columns
    }
    columns = [column for column in columns if any(cells[column.title]) or column.rank == 0]
    width = page.width - indent
    kept = _kept(page, columns, cells, width)
    widths = _widths(page, kept, cells, width)
    if _shorter(page, kept, cells, rows, widths):
        widths = _widths(page, kept, cells, width)
    result = Table(box=page.ruled, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for column in kept:
        justify: Literal["right", "left"] = "right" if column.right else "left"
        title, width = page.text(column.title), widths[column.title]
        result.add_column(title, justify=justify, no_wrap=not column.wrap, width=width, overflow="fold")
    for column in kept:
        if column.flexible and not column.wrap:
            cells[column.title] = shortened(cells[column.title], widths[column.title], page.ellipsis)
    for place, row in enumerate(rows):
        limits = {column.title: 400 if column.wrap else widths[column.title] for column in kept}
        shown = (page.text(cells[title][place], width=limit) for title, limit in limits.items())
        result.add_row(*(Text.assemble(text, style=style(row)) for text in shown))
    return result


def _shorter(
    page: Page, columns: list[Column[Row]], cells: dict[str, list[str]], rows: Sequence[Row], widths: dict[str, int]
) -> bool:
    """Put the brief words where the long ones do not fit and the brief ones mean one row; tell whether any were."""
    tight = [column for column in columns if column.brief and _natural(page, column, cells) > widths[column.title]]
    for column in tight:
        whole = cells[column.title]
        brief = [page.plain(column.brief(row)) for row in rows if column.brief]
        meant = {(short, long) for short, long in zip(brief, whole, strict=True)}
        unclear = {short for short, several in Counter(short for short, _ in meant).items() if several > 1}
        cells[column.title] = [long if short in unclear else short for short, long in zip(brief, whole, strict=True)]
    return bool(tight)


def _natural(page: Page, column: Column[Row], cells: dict[str, list[str]]) -> int:
    return max([cell_len(page.plain(column.title)), *map(cell_len, cells[column.title])])


def _kept(page: Page, columns: Sequence[Column[Row]], cells: dict[str, list[str]], width: int) -> list[Column[Row]]:
    kept = list(columns)
    while True:
        needed = sum(
            min(_natural(page, column, cells), column.least) if column.flexible else _natural(page, column, cells)
            for column in kept
        )
        highest = max(column.rank for column in kept)
        if needed + _gaps(kept) <= width or highest == 0:
            return kept
        kept = [column for column in kept if column.rank != highest]


def _gaps(columns: Sequence[Column[Row]]) -> int:
    return 2 * len(columns)


def _widths(page: Page, columns: Sequence[Column[Row]], cells: dict[str, list[str]], width: int) -> dict[str, int]:
    """Fixed columns get what they need; flexible ones share the rest, none more than it needs."""
    natural = {column.title: _natural(page, column, cells) for column in columns}
    flexible = sorted((column for column in columns if column.flexible), key=lambda column: natural[column.title])
    left = width - _gaps(columns) - sum(natural[column.title] for column in columns if not column.flexible)
    widths = dict(natural)
    for place, column in enumerate(flexible):
        share = max(left // (len(flexible) - place), 4)
        widths[column.title] = min(natural[column.title], share)
        left -= widths[column.title]
    return widths
