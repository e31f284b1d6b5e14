"""A pairing as a mapping file: names that ``resolve`` finds again, for editing by hand."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable

from aligner.alignment.mapping import Mapping, is_formula, names_of
from aligner.records.alignment import PairedValues
from aligner.records.graph import Graph

_DERIVED = "layout"
"""The rule of pairs that follow from another one: the same tensors, moved."""


def spelled(pairs: Iterable[PairedValues], reference: Graph, candidate: Graph) -> Mapping:
    """The framework's names of every pair; a name that several values carry is replaced by the value's id.

    Forms that layout-only nodes make of a paired tensor are left out: they follow from it.
    """
    left, right = _Speller(reference), _Speller(candidate)
    return tuple((left(pair.reference), right(pair.candidate)) for pair in pairs if pair.rule != _DERIVED)


class _Speller:
    """Value id → the plainest word that finds the value again."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._found = names_of(graph)
        self._carriers = Counter(value.name for value in graph.values.values())

    def __call__(self, value_id: str) -> str:
        name = self._graph.values[value_id].name if value_id in self._graph.values else value_id
        readable = name and name == name.strip() and not name.startswith("#")
        return name if readable and self._carriers[name] == 1 and self._found.get(name) == value_id else value_id


def _safe(name: str) -> str:
    """With an apostrophe in front of what a spreadsheet would run; ``read_mapping`` takes it off."""
    return f"'{name}" if is_formula(name) else name


def mapping_text(mapping: Mapping) -> str:
    """CSV with a header; ``read_mapping`` reads it."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(("reference", "candidate"))
    writer.writerows(map(_safe, pair) for pair in mapping)
    return target.getvalue()
