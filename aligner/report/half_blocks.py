"""Pictures of a pair on a terminal: coloured half blocks, or letters of rising darkness where there is no colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rich.color import Color
from rich.console import Group, RenderableType
from rich.style import Style
from rich.table import Table
from rich.text import Text

from aligner.records.comparison import Comparison, Pair
from aligner.records.dataclass import dataclass
from aligner.records.preview import BLANK, NOT_FINITE, Picture, Preview
from aligner.report.numbers import number
from aligner.report.page import Page
from aligner.report.picture import colours

_TILES, _LARGEST, _GAP = 2, 44, 2
_RAMP = " .:-=+*#%@"
_BROKEN = "!"

Rows = Sequence[Sequence[int]]
Merge = Callable[[Sequence[int]], int]
Paint = Callable[[int, int], tuple[str, Style]]
"""Upper and lower grey level → one cell."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Pictures to print, and which pair they show."""

    pair: Pair
    remark: str
    drawing: RenderableType


def pictures(page: Page, comparison: Comparison) -> Drawn | None:
    """Reference, candidate and difference of the first divergence, else of the first pair that has pictures.

    Of many channels the most different are shown, shrunk to the page or enlarged without smoothing. None where the
    record holds no pictures.
    """
    preview = _chosen(comparison)
    if preview is None:
        return None
    side = min((page.width - 2 * _GAP) // 3, _LARGEST)
    places = _worst_tiles(preview)
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for _ in range(3):
        grid.add_column(width=side, overflow="fold")
    grid.add_row(*(page.text(caption, "dim") for caption in _captions(page, preview)))
    for place in places:
        trio = (preview.reference, preview.candidate, preview.difference)
        cut = [_tile(picture, preview, place) for picture in trio]
        grid.add_row(*(_drawing(page, rows, side, difference=at == 2) for at, rows in enumerate(cut)))
        if len(preview.channels) > 1 and place != places[-1]:
            grid.add_row()
    return Drawn(comparison.pairs[preview.pair], _remark(preview, places), Group(grid, *_legend(page)))


def _chosen(comparison: Comparison) -> Preview | None:
    known = [preview for preview in comparison.previews if preview.pair < len(comparison.pairs)]
    first = [preview for preview in known if comparison.pairs[preview.pair] is comparison.first_divergence]
    return next(iter(first or known), None)


def _remark(preview: Preview, places: Sequence[int]) -> str:
    fed = "fed with the reference's tensors" if preview.error == "local" else "from the inputs on"
    if preview.axis is None or len(preview.channels) == 1:
        return fed
    shown = ", ".join(str(preview.channels[place]) for place in places)
    most = ", the most different" if len(places) < len(preview.channels) else ""
    return f"{fed}; slices {shown} along axis {preview.axis}{most}"


def _captions(page: Page, preview: Preview) -> Iterator[str]:
    ramp = not _in_colour(page)
    named = (("reference", preview.reference), ("candidate", preview.candidate), ("|difference|", preview.difference))
    for name, picture in named:
        low, high = number(picture.low), number(picture.high)
        yield f"{name} {low} … {high}" if not ramp else f"{name} {low} ' ' … {high} '@'"


def _legend(page: Page) -> Iterator[Text]:
    if not _in_colour(page):
        yield page.text(f"from low to high: '{_RAMP}'; {_BROKEN} is NaN or infinite", "dim")


def _in_colour(page: Page) -> bool:
    """Whether half blocks in many colours can be shown; 16 colours are no scale."""
    console = page.console
    return not (page.ascii or console.no_color) and console.color_system in ("truecolor", "256")


def _worst_tiles(preview: Preview) -> list[int]:
    """Places of the tiles with the largest differences, the worst first; NaN is worse than any."""
    darkest = [_darkest(_tile(preview.difference, preview, place)) for place in range(len(preview.channels))]
    return sorted(range(len(darkest)), key=lambda place: (-darkest[place], place))[:_TILES]


def _darkest(rows: Rows) -> int:
    levels = [level for row in rows for level in row if level != BLANK]
    return max(levels, default=0)


def _tile(picture: Picture, preview: Preview, place: int) -> Rows:
    """One tile of a grid whose tiles are parted by one pixel."""
    columns = max(min(preview.columns, len(preview.channels)), 1)
    lines = -(-len(preview.channels) // columns)
    gap = 1 if len(preview.channels) > 1 else 0
    height, width = (picture.height + gap) // lines - gap, (picture.width + gap) // columns - gap
    top, left = place // columns * (height + gap), place % columns * (width + gap)
    starts = (row * picture.width + left for row in range(top, top + height))
    return [picture.pixels[start : start + width] for start in starts]


def _drawing(page: Page, rows: Rows, side: int, *, difference: bool) -> Text:
    fitted = _fitted(rows, side, max if difference else _middle)
    if len(fitted) % 2:
        fitted = [*fitted, [BLANK] * len(fitted[0])]
    lines = zip(fitted[::2], fitted[1::2], strict=True)
    paint = _blocks(difference) if _in_colour(page) else _letter(max if difference else _middle)
    drawing = Text("\n").join(Text.assemble(*map(paint, upper, lower)) for upper, lower in lines)
    drawing.no_wrap = True
    return drawing


def _fitted(rows: Rows, side: int, merge: Merge) -> list[list[int]]:
    """At most ``side`` pixels a line: blocks merged, or pixels repeated a whole number of times."""
    height, width = len(rows), len(rows[0])
    longest = max(height, width)
    if longest <= side:
        times = side // longest
        return [[level for level in row for _ in range(times)] for row in rows for _ in range(times)]
    tops, lefts = (_edges(length, max(round(length * side / longest), 1)) for length in (height, width))
    return [
        [
            merged([level for row in rows[top:bottom] for level in row[left:right]], merge)
            for left, right in pairwise(lefts)
        ]
        for top, bottom in pairwise(tops)
    ]


def _edges(length: int, parts: int) -> list[int]:
    return [length * part // parts for part in range(parts + 1)]


def merged(levels: Sequence[int], merge: Merge) -> int:
    """One grey level for several; NaN and infinity stay visible, what is no part of the tensor does not count."""
    if NOT_FINITE in levels:
        return NOT_FINITE
    known = [level for level in levels if level != BLANK]
    return merge(known) if known else BLANK


def _middle(levels: Sequence[int]) -> int:
    return round(sum(levels) / len(levels))


def _blocks(difference: bool) -> Paint:
    palette = [Color.from_rgb(*colour) for colour in colours(difference=difference)]

    def paint(upper: int, lower: int) -> tuple[str, Style]:
        if upper == BLANK:
            return (" ", Style()) if lower == BLANK else ("▄", Style(color=palette[lower]))
        return "▀", Style(color=palette[upper], bgcolor=None if lower == BLANK else palette[lower])

    return paint


def _letter(merge: Merge) -> Paint:
    def paint(upper: int, lower: int) -> tuple[str, Style]:
        level = merged((upper, lower), merge)
        if level == NOT_FINITE:
            return _BROKEN, Style()
        letter = " " if level == BLANK else _RAMP[min(level * len(_RAMP) // BLANK, len(_RAMP) - 1)]
        return letter, Style()

    return paint
