"""Names cut to a width so that what tells them apart stays: the parts that most of them share leave first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len

from aligner.report.page import shorten

_PARTS = re.compile(r"[^/.:\s_]*[/.:\s_]*")

_NUMBER = re.compile(r" #\d+$")
"""What a label ends with where names alone do not tell tensors apart."""


def shortened(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Each name within ``width`` cells; what fits is left as it is.

    A name that is too wide keeps the parts ("layers.", "0/", "q_") that the fewest of the names have at that place,
    counted from its beginning or its end; an ellipsis stands for each run of others. Of the names of several fused
    nodes ("a/Conv;a/Relu") the shortest one that no other name holds stands for all.
    """
    owners = Counter(one for name in set(names) for one in set(_fused(name)))
    short = {name: name if cell_len(name) <= width else _one_of_fused(name, owners, ellipsis) for name in set(names)}
    split = {name: [part for part in _PARTS.findall(text) if part] for name, text in short.items()}
    fronts = Counter((place, part) for parts in split.values() for place, part in enumerate(parts))
    backs = Counter((place, part) for parts in split.values() for place, part in enumerate(reversed(parts)))
    cut: dict[str, str] = {}
    for name, parts in split.items():
        shared = [max(fronts[place, part], backs[len(parts) - 1 - place, part]) for place, part in enumerate(parts)]
        fits = cell_len(short[name]) <= width
        cut[name] = short[name] if fits else _cut(short[name], parts, shared, width, ellipsis)
    return [cut[name] for name in names]


def _fused(name: str) -> list[str]:
    return _NUMBER.sub("", name).split(";")


def _one_of_fused(name: str, owners: Counter[str], ellipsis: str) -> str:
    own = [one for one in _fused(name) if one and owners[one] == 1]
    number = _NUMBER.search(name)
    return min(own, key=len) + f";{ellipsis}" + (number[0] if number else "") if own and ";" in name else name


def _cut(name: str, parts: Sequence[str], shared: Sequence[int], width: int, ellipsis: str) -> str:
    """The least shared parts, the later of equals first, as many as fit; letters are cut where not even one does.

    What was said once ("4/" of "add_4/add_4/add") is said again only where there is room left.
    """
    kept: set[int] = set()
    order = sorted(range(len(parts)), key=lambda place: (shared[place], -place))
    again = [place for at, place in enumerate(order) if parts[place] in {parts[earlier] for earlier in order[:at]}]
    for place in [*(place for place in order if place not in again), *again]:
        if cell_len(_joined(parts, kept | {place}, ellipsis)) <= width:
            kept.add(place)
    return _joined(parts, kept, ellipsis) if kept else shorten(name, width, ellipsis)


def _joined(parts: Sequence[str], kept: set[int], ellipsis: str) -> str:
    text = ""
    for place, part in enumerate(parts):
        if place in kept:
            text += part
        elif not text.endswith(ellipsis):
            text += ellipsis
    return text
