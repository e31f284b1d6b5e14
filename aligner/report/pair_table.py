"""Pairs as rows: the neighbourhood of the first divergence, every pair, other culprits, outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from aligner.records.comparison import Comparison, Pair, Side
from aligner.records.dataclass import dataclass
from aligner.report.columns import Column, Table, table
from aligner.report.numbers import ABSENT, number, percent, shape, unique_count
from aligner.report.page import Page
from aligner.report.words import MARKS, STYLES, brief, label, largest, operation, position, times

BEFORE, AFTER = 3, 5


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pair and where it stands: ``position`` counts from 1 in the candidate's order, 0 where it has none."""

    pair: Pair
    position: int = 0
    first: bool = False


def rows(comparison: Comparison, pairs: Sequence[Pair] | None = None) -> list[PairRow]:
    """Rows for the pairs named, every pair where none are."""
    shown = comparison.pairs if pairs is None else pairs
    places = {id(pair): place for place, pair in enumerate(comparison.pairs, 1)}
    first = position(shown, comparison.first_divergence)
    return [PairRow(pair, places.get(id(pair), 0), place == first) for place, pair in enumerate(shown)]


def around(every: Sequence[PairRow], comparison: Comparison) -> list[PairRow]:
    """The rows around the first divergence, or around the first pair that is not aligned."""
    centre = next((place for place, row in enumerate(every) if row.first), None)
    if centre is None and comparison.first_divergence is None:
        centre = next((place for place, row in enumerate(every) if row.pair.verdict != "aligned"), None)
    return [] if centre is None else list(every[max(centre - BEFORE, 0) : centre + AFTER + 1])


def pair_table(page: Page, shown: Sequence[PairRow]) -> Table[PairRow]:
    """Names, errors and verdicts of pairs; fits any width."""
    unmeasured = () if measured(shown) else ("local", "bound")
    return table(page, [column for column in _COLUMNS if column.title not in unmeasured], shown, _style)


def culprit_table(page: Page, shown: Sequence[PairRow]) -> Table[PairRow]:
    """Pairs that err by themselves, with how far beyond their bound they are."""
    unmeasured = ("accumulated",) if measured(shown) else ("local", "bound", "times")
    return table(page, [column for column in _CULPRITS if column.title not in unmeasured], shown, _style)


def measured(shown: Sequence[PairRow]) -> bool:
    """Whether any of the pairs has a local error."""
    return any(row.pair.local is not None for row in shown)


def output_table(page: Page, outputs: Sequence[Pair]) -> Table[PairRow]:
    """Each output's error against the user's tolerance."""
    return table(page, _OUTPUTS, [PairRow(pair) for pair in outputs], _output_style)


def _style(row: PairRow) -> str:
    if row.pair.verdict == "aligned":
        return ""
    return ("bold " if row.first else "") + STYLES[row.pair.verdict]


def _output_style(row: PairRow) -> str:
    return "" if within(row.pair) else "red"


def within(pair: Pair) -> bool:
    """Whether no element lies beyond atol + rtol·|r|."""
    return pair.accumulated is not None and pair.accumulated.beyond == 0 and pair.verdict != "nonfinite"


def _position(row: PairRow) -> str:
    return ("▶" if row.first else " ") + (str(row.position) if row.position else "")


def _named(call: Callable[[Side], str], side: str, row: PairRow) -> str:
    return call(getattr(row.pair, side))


def _source(row: PairRow) -> str:
    return row.pair.reference.source or row.pair.candidate.source or ""


def _shape(row: PairRow) -> str:
    """Both sides' where they differ by more than the order of axes, which is one for the whole model."""
    ours, theirs = (shape(side.shape) for side in _sides(row))
    return theirs if row.pair.axes is not None else _both(ours, theirs)


def _sides(row: PairRow) -> tuple[Side, Side]:
    return row.pair.reference, row.pair.candidate


def _both(ours: str, theirs: str) -> str:
    """Reference and candidate, once where they read the same."""
    return ours if ours == theirs else f"{ours} → {theirs}"


def _mean(row: PairRow) -> str:
    return _both(*(number(side.statistics.mean) for side in _sides(row)))


def _range(row: PairRow) -> str:
    return _both(*(f"{number(side.statistics.min)}…{number(side.statistics.max)}" for side in _sides(row)))


def _unique(row: PairRow) -> str:
    return _both(*(unique_count(side.statistics) for side in _sides(row)))


def _verdict_of_output(row: PairRow) -> str:
    errors = row.pair.accumulated
    if errors is None:
        return row.pair.note or MARKS[row.pair.verdict].strip()
    if row.pair.verdict == "nonfinite":
        return "NO: NaN or inf"
    return "yes" if within(row.pair) else f"NO: {percent(errors.beyond)} beyond"


_POSITION: Column[PairRow] = Column("#", _position, rank=2, right=True)
_NAMES: list[Column[PairRow]] = [
    Column(side, partial(_named, label, side), rank, brief=partial(_named, brief, side), flexible=True, least=16)
    for side, rank in (("reference", 1), ("candidate", 0))
]
_ACCUMULATED: Column[PairRow] = Column("accumulated", lambda row: number(largest(row.pair.accumulated)), right=True)
_LOCAL: Column[PairRow] = Column("local", lambda row: number(largest(row.pair.local)), right=True)
_OP: Column[PairRow] = Column("op", lambda row: operation(row.pair), rank=4, most=18)
_SOURCE: Column[PairRow] = Column("source", _source, rank=9, most=28)
_BOUND: Column[PairRow] = Column("bound", lambda row: number(row.pair.bound), rank=3, right=True)

_COLUMNS: list[Column[PairRow]] = [
    _POSITION,
    *_NAMES,
    _OP,
    Column("shape", _shape, rank=5, most=30),
    Column("mean", _mean, rank=6, most=24),
    Column("min…max", _range, rank=7, most=34),
    Column("unique", _unique, rank=8, most=18),
    _SOURCE,
    _ACCUMULATED,
    _LOCAL,
    _BOUND,
    Column("verdict", lambda row: MARKS[row.pair.verdict]),
]

_CULPRITS: list[Column[PairRow]] = [
    _POSITION,
    *_NAMES,
    replace(_OP, rank=3),
    replace(_SOURCE, rank=4),
    _ACCUMULATED,
    _LOCAL,
    replace(_BOUND, rank=2),
    Column("times", lambda row: times(row.pair, row.pair.bound) or ABSENT, right=True),
]

_OUTPUTS: list[Column[PairRow]] = [
    *_NAMES,
    Column("shape", _shape, rank=3, most=30),
    replace(_ACCUMULATED, title="max abs"),
    Column("within tolerance", _verdict_of_output, most=30),
]
