"""Errors along the depth of a model in two lines of a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from aligner.records.comparison import GUILTY, Comparison, Pair
from aligner.records.dataclass import dataclass
from aligner.report.numbers import number
from aligner.report.page import Page
from aligner.report.words import STYLES, largest, position

_LABEL = 12
_DECADES = 12
"""Errors this far below the largest are all drawn at the bottom."""


@dataclass(frozen=True, slots=True)
class _Signs:
    """Bars from low to high, and what stands for 0, NaN or inf, the first divergence, and any other culprit."""

    bars: str
    zero: str
    broken: str
    first: str
    guilty: str


_BLOCKS = _Signs("▁▂▃▄▅▆▇█", "·", "!", "▲", "╵")
_PLAIN = _Signs(".:-=+*#@", "_", "!", "^", "'")


@dataclass(frozen=True, slots=True)
class Depth:
    """The drawing, and a remark that says how to read it."""

    drawing: Group
    remark: str


def depth(page: Page, comparison: Comparison) -> Depth | None:
    """Accumulated and local errors of all pairs in execution order; None where there is nothing to draw.

    Each column stands for one pair, or for the worst of several where the page is too narrow.
    """
    pairs = comparison.pairs
    known = [value for pair in pairs for value in (largest(pair.accumulated), largest(pair.local)) if value]
    heights = [value for value in known if math.isfinite(value)]
    if len(pairs) < 2 or not known:
        return None
    signs = _PLAIN if page.ascii or page.console.is_dumb_terminal else _BLOCKS
    high = max(heights, default=1.0)
    scale = _Scale(max(min(heights, default=1.0), high * 10.0**-_DECADES), high, signs)
    step = math.ceil(len(pairs) / (page.width - _LABEL))
    columns = [pairs[start : start + step] for start in range(0, len(pairs), step)]
    lines = [_line(page, "accumulated", [_bar(column, "accumulated", scale) for column in columns])]
    if any(pair.local is not None for pair in pairs):
        lines.append(_line(page, "local", [_bar(column, "local", scale) for column in columns]))
    first = position(pairs, comparison.first_divergence)
    if any(pair.verdict in GUILTY for pair in pairs):
        lines.append(_line(page, "", _marks(columns, None if first is None else first // step, signs)))
    return Depth(Group(*lines), _remark(scale, step, first))


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic scale from ``low`` to ``high``."""

    low: float
    high: float
    signs: _Signs

    def sign(self, value: float) -> str:
        bars = self.signs.bars
        if not math.isfinite(value):
            return self.signs.broken
        if value == 0:
            return self.signs.zero
        span = math.log(self.high / self.low)
        share = math.log(max(value, self.low) / self.low) / span if span > 0 else 1.0
        return bars[min(int(share * len(bars)), len(bars) - 1)]


def _bar(column: Sequence[Pair], which: str, scale: _Scale) -> tuple[str, str]:
    """The sign of the worst pair of a column, and its style; blank where nothing was measured."""
    values = [value for pair in column if (value := largest(getattr(pair, which))) is not None]
    if not values:
        return " ", ""
    worst = next((value for value in values if not math.isfinite(value)), max(values))
    guilty = which == "local" and any(pair.verdict in GUILTY for pair in column)
    return scale.sign(worst), STYLES["introduced"] if guilty else ""


def _marks(columns: Sequence[Sequence[Pair]], first: int | None, signs: _Signs) -> list[tuple[str, str]]:
    guilty = [any(pair.verdict in GUILTY for pair in column) for column in columns]
    style = STYLES["introduced"]
    return [
        (signs.first, f"bold {style}") if place == first else (signs.guilty, style) if here else (" ", "")
        for place, here in enumerate(guilty)
    ]


def _line(page: Page, label: str, signs: Sequence[tuple[str, str]]) -> Text:
    line = page.text(f"{label:<{_LABEL}}", "dim")
    for sign, style in signs:
        line.append(sign, style)
    line.no_wrap = True
    return line


def _remark(scale: _Scale, step: int, first: int | None) -> str:
    signs = scale.signs
    said = f"max abs, log scale, {signs.bars[0]} {number(scale.low, 2)} to {signs.bars[-1]} {number(scale.high, 2)}"
    many = f"; {step} pairs a column" if step > 1 else ""
    return said + many + ("" if first is None else f"; {signs.first} pair {first + 1}")
