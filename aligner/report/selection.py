"""Which pairs a table shows, and in which order: what --filter and --sort ask for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from aligner.records.comparison import Comparison, Pair
from aligner.records.dataclass import dataclass
from aligner.report.words import COUNTED, largest, operation

_WORST_FIRST = ("introduced", "nonfinite", "inherited", "incomparable", "nondeterministic", "aligned")
_VERDICTS = {name: name for name in COUNTED} | {word.lower(): name for name, word in COUNTED.items()}
"""A verdict's own name, or the word that reports show for it."""

Key = tuple[int, float | str]
"""What comes first, then the value; numbers and words are never held against each other."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters that all hold, and a column to sort by.

    A filter that is a verdict keeps the pairs that have it (several verdicts: any of them); any other keeps the pairs
    in whose names, ops, modules, sources, rule, note or id all of its words occur, in any case. Errors and bounds are
    sorted with the largest first, what is not finite before them and what was not measured at the end; words are sorted
    from A to Z; ties keep the candidate's order.
    """

    filters: tuple[str, ...] = ()
    sort: str | None = None

    def __bool__(self) -> bool:
        return bool(self.filters or self.sort)

    @property
    def words(self) -> str:
        """ "pairs matching introduced, conv, by local"."""
        matching = f" matching {', '.join(self.filters)}" if self.filters else ""
        return f"pairs{matching}" + (f", by {self.sort}" if self.sort else "")

    def places(self, comparison: Comparison) -> list[int]:
        """Positions among the comparison's pairs, in the order asked for."""
        verdicts = {_VERDICTS[text.lower()] for text in self.filters if text.lower() in _VERDICTS}
        terms = [word for text in self.filters if text.lower() not in _VERDICTS for word in text.lower().split()]
        found = [
            place
            for place, pair in enumerate(comparison.pairs)
            if (not verdicts or pair.verdict in verdicts) and _holds(pair, terms)
        ]
        if self.sort is None:
            return found
        key = COLUMNS[self.sort]
        return sorted(found, key=lambda place: (key(comparison.pairs[place], place), place))

    def pairs(self, comparison: Comparison) -> list[Pair]:
        """The same as records."""
        return [comparison.pairs[place] for place in self.places(comparison)]


EVERYTHING = Selection()


def _holds(pair: Pair, terms: Sequence[str]) -> bool:
    if not terms:
        return True
    texts = [pair.rule, pair.note]
    for side in (pair.reference, pair.candidate):
        texts += [side.name, side.node, side.op, side.kind, side.scope, side.source, *side.names]
    text = "\n".join(filter(None, texts)).lower()
    return all(term in text or term == pair.id for term in terms)


def _largest_first(value: float | None) -> Key:
    if value is None:
        return 2, 0.0
    return (1, -value) if math.isfinite(value) else (0, 0.0)


def _times(pair: Pair) -> Key:
    """How far beyond what rounding explains."""
    error = pair.local or pair.accumulated
    if error is None or pair.bound is None or pair.bound <= 0:
        return _largest_first(None)
    return _largest_first(error.max_abs / pair.bound)


COLUMNS: dict[str, Callable[[Pair, int], Key]] = {
    "position": lambda _, place: (0, float(place)),
    "verdict": lambda pair, _: (0, float(_WORST_FIRST.index(pair.verdict))),
    "accumulated": lambda pair, _: _largest_first(largest(pair.accumulated)),
    "local": lambda pair, _: _largest_first(largest(pair.local)),
    "bound": lambda pair, _: _largest_first(pair.bound),
    "times": lambda pair, _: _times(pair),
    "reference": lambda pair, _: (0, pair.reference.name.lower()),
    "candidate": lambda pair, _: (0, pair.candidate.name.lower()),
    "op": lambda pair, _: (0, operation(pair).lower()),
    "shape": lambda pair, _: _largest_first(_size(pair)),
    "rule": lambda pair, _: (0, pair.rule),
    "confidence": lambda pair, _: (0, pair.confidence),
}
"""What can be sorted by: the columns of the tables, ``times`` the bound, and the least sure pair first."""


def _size(pair: Pair) -> float | None:
    shape = pair.candidate.shape
    return None if shape is None else float(math.prod(shape))
