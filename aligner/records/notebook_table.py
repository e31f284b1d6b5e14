"""Records as a notebook shows them: small tables, static, of nothing but escaped text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Protocol, TypeVar

_SHOWN, _LISTED = 60, 4
"""Rows of a table, and records of a list in a console; the rest is counted."""


class Tabular(Protocol):
    """A record that says what a row of a table holds."""

    def cells(self) -> Mapping[str, str]:
        """Texts by the titles of their columns."""


Record = TypeVar("Record", bound=Tabular)


class Records(tuple[Record, ...]):
    """A tuple that is short in a console and a table in a notebook."""

    __slots__ = ()

    def __repr__(self) -> str:
        rest = [f"… {len(self) - _LISTED:,} more"] if len(self) > _LISTED else []
        return f"({', '.join([*map(repr, self[:_LISTED]), *rest])}{',' if len(self) == 1 else ''})"

    def _repr_html_(self) -> str:
        return table(self)


class Numbered(Records[Record]):
    """All of a kind, in the order that every report counts from 1."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return table(self, numbered=True)


def table(records: Iterable[Tabular], *, numbered: bool = False) -> str:
    """One row for each of the first records."""
    every = list(records)
    shown = [dict(record.cells()) for record in every[:_SHOWN]]
    if not shown:
        return "<i>none</i>"
    if numbered:
        shown = [{"#": f"{number:,}"} | cells for number, cells in enumerate(shown, 1)]
    head = _row("th", shown[0])
    body = "".join(_row("td", row.values()) for row in shown)
    rest = f"<div>{len(every) - _SHOWN:,} more</div>" if len(every) > _SHOWN else ""
    return f'<table style="border-collapse:collapse">{head}{body}</table>{rest}'


def _row(tag: str, texts: Iterable[str]) -> str:
    opened = f'<{tag} style="text-align:left;vertical-align:top;padding:1px 12px 1px 0">'
    return f"<tr>{''.join(f'{opened}{escape(_visible(text))}</{tag}>' for text in texts)}</tr>"


def _visible(text: str) -> str:
    """Characters that show nothing or turn the line around, of a name that a model may make, as their escapes."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
