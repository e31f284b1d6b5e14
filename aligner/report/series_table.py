"""Several comparisons of one pair of models as tables: a decoder's steps and layers, the points of a grid of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType

from aligner.records.comparison import Comparison
from aligner.records.dataclass import dataclass
from aligner.records.grid import GridPoint
from aligner.records.self_check import SelfCheck
from aligner.records.steps import LayerErrors, Step
from aligner.report.codec import Document, encode
from aligner.report.columns import Column, table
from aligner.report.numbers import number
from aligner.report.page import Page
from aligner.report.words import STYLES


@dataclass(frozen=True, slots=True)
class Series:
    """One table: its heading, what its numbers are, its columns and rows."""

    title: str
    remark: str
    columns: Sequence[Column[Any]]
    rows: Sequence[Any]

    @property
    def titles(self) -> list[str]:
        """The columns' titles."""
        return [column.title for column in self.columns]

    @property
    def cells(self) -> list[list[str]]:
        """Every row's words."""
        return [[column.cell(row) for column in self.columns] for row in self.rows]

    def on(self, page: Page) -> RenderableType:
        """As a table for a terminal."""
        return table(page, self.columns, self.rows, _style)


def series(comparison: Comparison) -> list[Series]:
    """The tables that there are."""
    found: list[Series] = []
    if comparison.steps:
        found.append(Series("steps", "max abs of the outputs", STEPS, comparison.steps))
    inside = [one for one in comparison.layers if one.layer]
    if inside:
        found.append(Series("layers", "max abs", LAYERS, inside))
    if comparison.grid:
        columns = [_size(name) for name in comparison.grid[0].sizes] + POINTS
        found.append(Series("sizes", "max abs of the outputs", columns, comparison.grid))
    return found


def self_check_document(check: SelfCheck) -> Document:
    """As JSON's own types, ``aligner.decode/1``."""
    model, steps = encode(check.model), [encode(step) for step in check.steps]
    return {"format": "aligner.decode/1", "verdict": check.verdict, "precise": check.precise} | {
        "model": model,
        "steps": steps,
    }


def print_self_check(check: SelfCheck, console: Console) -> None:
    """The verdict, the model, every step."""
    page = Page.of(console)
    last = check.steps[-1]
    where = f" at {last.node}" + (f" in {last.layer}" if last.layer else "") + f", step {last.index}"
    told = where if check.verdict == "diverged" else f" — {len(check.steps)} steps by the cache are what prefill gives"
    page.print(page.text(check.verdict.upper() + told, f"bold {STYLES.get(check.verdict, '')}"))
    page.print(page.facts([("model", page.text(f"{check.model.path} — {check.model.runtime}"))]))
    page.heading("steps", f"of the scores, by their largest{', in ' + check.precise if check.precise else ''}")
    page.print(Series("steps", "", STEPS, check.steps).on(page))


def _style(row: Step | LayerErrors | GridPoint) -> str:
    if isinstance(row, LayerErrors):
        return "red" if row.introduced else ""
    return STYLES.get(row.verdict, "") if row.verdict != "aligned" else ""


def _token(step: Step) -> str:
    return "" if step.token is None else f"{step.token}{' ≠' if step.same_token is False else ''}"


def _size(name: str) -> Column[GridPoint]:
    return Column(name, lambda one: str(one.sizes[name]), right=True)


STEPS: list[Column[Step]] = [
    Column("step", lambda one: f"{one.index} {one.phase}"),
    Column("tokens", lambda one: f"{one.past} + {one.fed}", right=True),
    Column("verdict", lambda one: one.verdict),
    Column("max abs", lambda one: number(one.error), right=True),
    Column("likeliest", _token, right=True, rank=2),
    Column("layer", lambda one: one.layer or "", rank=1),
    Column("first wrong at", lambda one: one.node or "", flexible=True),
]
LAYERS: list[Column[LayerErrors]] = [
    Column("layer", lambda one: one.layer or "outside", flexible=True),
    Column("pairs", lambda one: str(one.pairs), right=True),
    Column("err", lambda one: str(one.introduced) if one.introduced else "", right=True),
    Column("local", lambda one: number(one.local), right=True),
    Column("accumulated", lambda one: number(one.accumulated), right=True),
]
POINTS: list[Column[GridPoint]] = [
    Column("verdict", lambda one: one.verdict),
    Column("max abs", lambda one: number(one.error), right=True),
    Column("first wrong at", lambda one: one.node or one.why or "", flexible=True),
]
