"""The page a report is printed on: what a terminal can show, and text that cannot harm it."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from aligner.records.dataclass import dataclass

_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that move the cursor, change direction or show nothing."""

_ASCII = str.maketrans(
    {
        "→": "->",
        "▶": ">",
        "…": "...",
        "×": "x",
        "–": "-",
        "—": "--",
        "·": "*",
        "≤": "<=",
        "−": "-",
        "±": "+/-",
        "≠": "!=",
        "↳": "+-",
    }
)

_MINIMUM = 40
_LABELS = 12
_LONGEST = 400
LONGEST_NAME = 96
"""Cells that a name may take in a sentence; converters join the names of all that they fuse."""


def visible(text: str) -> str:
    """Escape what a terminal would obey instead of show: ESC becomes the four characters ``\\x1b``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(char) if unicodedata.category(char) in _UNSAFE else char for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def sentence(text: str) -> str:
    """Prose on one line; its wrapping is the page's."""
    return " ".join(text.split())


def shorten(text: str, width: int, ellipsis: str = "…") -> str:
    """Cut the middle out of a text wider than ``width`` cells; the tail, which tells names apart, keeps two thirds."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(ellipsis)
    if room <= 0:
        return _head(text, width)
    head = room // 3
    return _head(text, head) + ellipsis + _head(text[::-1], room - head)[::-1]


def _head(text: str, width: int) -> str:
    used = 0
    for place, char in enumerate(text):
        used += cell_len(char)
        if used > width:
            return text[:place]
    return text


@dataclass(frozen=True, slots=True)
class Page:
    """A console with what the report needs to know of it; every foreign text passes through ``plain``."""

    console: Console
    width: int
    ascii: bool

    @classmethod
    def of(cls, console: Console) -> Page:
        """The page that a console offers."""
        return cls(console=console, width=max(console.width, _MINIMUM), ascii=console.options.ascii_only)

    @property
    def ellipsis(self) -> str:
        """What stands for the part left out."""
        return "..." if self.ascii else "…"

    def plain(self, text: str, width: int = _LONGEST) -> str:
        """Text that is safe to print, in characters the terminal has, at most ``width`` cells wide."""
        safe = visible(text[: 100 * _LONGEST])
        if self.ascii:
            safe = safe.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
        return shorten(safe, width, self.ellipsis)

    def text(self, text: str, style: str = "", width: int = _LONGEST) -> Text:
        """The same as ``plain``, with a style; never read as markup."""
        return Text(self.plain(text, width), style=style, overflow="fold")

    def prose(self, text: str, style: str = "") -> Text:
        """A sentence of any length, its line breaks undone; names that would fill lines of it lose their middle."""
        words = " ".join(shorten(word, LONGEST_NAME, "…") for word in text[: 100 * _LONGEST].split())
        return Text(self.plain(words, 10 * _LONGEST), style=style, overflow="fold")

    def command(self, text: str) -> Text:
        """A command to be pasted: broken between its words, where a shell reads on."""
        room = max(self.width - _LABELS - 2, 1)
        lines = textwrap.wrap(self.plain(text, 10 * _LONGEST), room, break_long_words=False, break_on_hyphens=False)
        return Text(" \\\n".join(lines), style="bold", overflow="fold")

    def print(self, item: RenderableType = "", *, indent: int = 0) -> None:
        """Print one thing, without markup, highlighting or emoji codes."""
        shown = Padding(item, (0, 0, 0, indent)) if indent else item
        self.console.print(shown, markup=False, highlight=False, emoji=False, width=self.width)

    def line(self, item: Text) -> None:
        """Print one line, however long, never wrapped."""
        self.console.print(item, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def heading(self, title: str, remark: str = "") -> None:
        """An empty line, then a section's title and, fainter, what it shows."""
        self.print()
        line = self.text(title, "bold")
        if remark:
            line.append_text(self.text("  " + remark, "dim"))
        self.print(line)

    def facts(self, rows: Iterable[tuple[str, RenderableType]], label_width: int = 10) -> Table:
        """Labels in a narrow column, facts beside them."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=label_width, no_wrap=True)
        grid.add_column(overflow="fold")
        for label, fact in rows:
            grid.add_row(self.text(label, "dim"), fact)
        return grid
