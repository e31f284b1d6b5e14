"""The user's own pairs: a CSV or YAML file of reference name, candidate name."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aligner.errors import MappingError, listing
from aligner.records.graph import Graph
from aligner.records.regular_file import read_regular

_LARGEST = 1 << 25
"""Bytes of a mapping: a hundred for each of the two names of 100,000 pairs, and more."""
Mapping = Sequence[tuple[str, str]]

_DEPTH = 3
"""The document, its rows, and one more."""
_FORMS = "CSV lines 'reference name,candidate name', or YAML 'reference name: candidate name'"


def read_mapping(path: Path) -> Mapping:
    """The pairs in a file, in order; a header line "reference,candidate" is skipped.

    Raises MappingError when it cannot be read or is not of one of the two forms.
    """
    try:
        text = read_regular(path, _LARGEST).decode("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise MappingError(f"the mapping {path} cannot be read", found=str(exc), hint=_FORMS) from exc
    return _from_yaml(path, text) if path.suffix.lower() in {".yaml", ".yml"} else _from_csv(path, text)


def mapping_pairs(mapping: Mapping | Path | str | None) -> Mapping:
    """The user's pairs, read where they are in a file."""
    return read_mapping(Path(mapping)) if isinstance(mapping, str | Path) else mapping or ()


def _from_csv(path: Path, text: str) -> Mapping:
    pairs = []
    try:
        rows = list(csv.reader(text.splitlines()))
    except csv.Error as exc:
        raise MappingError.of(f"{path} is not CSV", exc, _FORMS) from exc
    for number, row in enumerate(rows, start=1):
        cells = [_name(cell.strip()) for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[:2] == ["reference", "candidate"]):
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise MappingError(f"line {number} of {path} is not a pair", found=",".join(row), hint=_FORMS)
        pairs.append((cells[0], cells[1]))
    return pairs


_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
"""What a formula begins with."""


def is_formula(name: str) -> bool:
    """Whether a spreadsheet would take a cell for a formula, were its apostrophes and blanks off."""
    return name.lstrip("' \u3000\xa0").startswith(_FORMULA)


def _name(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and is_formula(cell) else cell


def _from_yaml(path: Path, text: str) -> Mapping:
    """Names are taken as they are written: no alias, no merge, and no word that means a number, a date or a truth."""
    import yaml

    try:
        document = _plain(yaml.parse(text, Loader=yaml.SafeLoader))
    except (yaml.YAMLError, ValueError) as exc:
        raise MappingError(f"{path} is not YAML", found=" ".join(str(exc).split())[:300], hint=_FORMS) from exc
    if isinstance(document, dict):
        document = [list(item) for item in document.items()]
    if isinstance(document, list) and all(isinstance(row, (list, dict)) for row in document):
        rows = [list(row.values()) if isinstance(row, dict) else row for row in document]
        if all(len(row) == 2 and all(isinstance(cell, str) for cell in row) for row in rows):
            return [(left, right) for left, right in rows]
    raise MappingError(f"{path} holds no pairs of names", found=type(document).__name__, hint=_FORMS)


def _plain(events: Iterable[Any]) -> Any:
    """Dicts, lists and texts of YAML's events; ValueError for what pairs of names do not need."""
    import yaml

    stack: list[list[Any]] = [[]]
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"an alias, *{event.anchor}")
        if isinstance(event, yaml.ScalarEvent):
            stack[-1].append(event.value)
        elif isinstance(event, yaml.CollectionStartEvent):
            stack.append([])
        elif isinstance(event, yaml.CollectionEndEvent):
            items = stack.pop()
            pairs = isinstance(event, yaml.MappingEndEvent)
            stack[-1].append(_dict(items) if pairs else items)
        if len(stack) > _DEPTH:
            raise ValueError("lists in lists in lists")
    return stack[0][0] if stack[0] else None


def _dict(items: list[Any]) -> dict[str, Any]:
    if not all(isinstance(key, str) for key in items[::2]):
        raise ValueError("a key that is a list")
    return dict(zip(items[::2], items[1::2], strict=True))


def resolve(mapping: Mapping, reference: Graph, candidate: Graph) -> list[tuple[str, str]]:
    """Value ids for the names a user wrote: ids, framework names, aliases, or a TFLite tensor index.

    Raises MappingError naming every entry that no tensor has.
    """
    sides = [names_of(graph) for graph in (reference, candidate)]
    stale, pairs = [], []
    for names in mapping:
        ids = [side.get(name) for side, name in zip(sides, names, strict=True)]
        stale += [name for name, found in zip(names, ids, strict=True) if found is None]
        if ids[0] is not None and ids[1] is not None:
            pairs.append((ids[0], ids[1]))
    if stale:
        known = [name for side in sides for name in side]
        near = difflib.get_close_matches(stale[0], known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise MappingError(
            "the mapping names tensors that neither model has on that side",
            found=listing(stale),
            hint=hint + "`align inspect MODEL` lists the names",
        )
    return pairs


def names_of(graph: Graph) -> dict[str, str]:
    """Everything a value may be called by → its id: ids win over names, names over aliases and tensor indices."""
    names = {value_id: value_id for value_id in graph.values}
    for value in graph.values.values():
        names.setdefault(value.name, value.id)
    for value in graph.values.values():
        for name in (*value.aliases, *_index(value.index)):
            names.setdefault(name, value.id)
    return names


def _index(index: int | None) -> Iterable[str]:
    return () if index is None else (str(index),)
