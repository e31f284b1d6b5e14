"""Tables whose columns give way: the least important ones leave first, then names lose their middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from aligner.records.dataclass import dataclass
from aligner.report.distinct_names import shortened, telling
from aligner.report.page import Page

Row = TypeVar("Row")
_GAP = 2
"""Cells between two columns."""

_DETAIL, _WHOLE = 6, 28
"""Columns of this rank and above leave before a name is cut; names longer than so many cells are cut for them, too."""


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
) -> Table[Row]:
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
    for column in kept:
        if column.flexible and not column.wrap:
            cells[column.title] = shortened(cells[column.title], widths[column.title], page.ellipsis)
    limits = {column.title: 400 if column.wrap else widths[column.title] for column in kept}
    shown = {title: [page.plain(cell, limit) for cell in cells[title]] for title, limit in limits.items()}
    return Table(page, kept, widths, shown, [style(row) for row in rows])


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """Rows whose cells were made to fit: laid out line by line, which costs a tenth of what rich's own table does."""

    page: Page
    columns: Sequence[Column[Row]]
    widths: Mapping[str, int]
    cells: Mapping[str, Sequence[str]]
    """By title, one for each row; only those of a column that wraps may be wider than it."""
    styles: Sequence[str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The header, a line under it, the rows."""
        titles = {column.title: self.page.plain(column.title) for column in self.columns}
        yield from self._row(console, titles, console.get_style("bold"))
        rule = "-" if self.page.ascii else "─"
        yield Segment((rule * _GAP).join(rule * self.widths[column.title] for column in self.columns))
        yield Segment.line()
        for place, style in enumerate(self.styles):
            row = {title: cells[place] for title, cells in self.cells.items()}
            yield from self._row(console, row, console.get_style(style))

    def _row(self, console: Console, row: Mapping[str, str], style: Style) -> Iterator[Segment]:
        lines = [self._lines(console, column, row[column.title]) for column in self.columns]
        for number in range(max(map(len, lines))):
            for place, (column, parts) in enumerate(zip(self.columns, lines, strict=True)):
                text = parts[number] if number < len(parts) else ""
                room = " " * (self.widths[column.title] - cell_len(text))
                gap = " " * _GAP if place else ""
                yield Segment(gap + room if column.right else gap)
                yield Segment(text, style)
                yield Segment("" if column.right else room)
            yield Segment.line()

    def _lines(self, console: Console, column: Column[Row], cell: str) -> list[str]:
        width = self.widths[column.title]
        if cell_len(cell) <= width:
            return [cell]
        return [line.plain.rstrip() for line in Text(cell, overflow="fold").wrap(console, width)]


def _shorter(
    page: Page, columns: list[Column[Row]], cells: dict[str, list[str]], rows: Sequence[Row], widths: dict[str, int]
) -> bool:
    """Put the brief words where the long ones do not fit and the brief ones mean one row; tell whether any were."""
    tight = [column for column in columns if column.brief and _natural(page, column, cells) > widths[column.title]]
    for column in tight:
        brief = [page.plain(column.brief(row)) for row in rows if column.brief]
        cells[column.title] = telling(brief, cells[column.title])
    return bool(tight)


def _natural(page: Page, column: Column[Row], cells: dict[str, list[str]]) -> int:
    return max([cell_len(page.plain(column.title)), *map(cell_len, cells[column.title])])


def _kept(page: Page, columns: Sequence[Column[Row]], cells: dict[str, list[str]], width: int) -> list[Column[Row]]:
    kept = list(columns)
    natural = {column.title: _natural(page, column, cells) for column in columns}
    while True:
        highest = max(column.rank for column in kept)
        needed = sum(
            min(natural[column.title], _WHOLE if highest >= _DETAIL else column.least)
            if column.flexible
            else natural[column.title]
            for column in kept
        )
        if needed + _gaps(kept) <= width or highest == 0:
            return kept
        kept = [column for column in kept if column.rank != highest]


def _gaps(columns: Sequence[Column[Row]]) -> int:
    return _GAP * (len(columns) - 1)


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
    excess = sum(widths.values()) + _GAP * (len(widths) - 1) - width
    for _ in range(excess):  # nothing is left that could leave
        widths[max(widths, key=widths.__getitem__)] -= 1
    return widths
