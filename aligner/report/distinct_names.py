"""Names cut to a width so that what tells them apart stays: the parts that most of them share leave first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.cells import cell_len

from aligner.report.page import shorten

_PARTS = re.compile(r"[^/.:\s_]*[/.:\s_]*")

_NUMBER = re.compile(r" #\d+$")
"""What a label ends with where names alone do not tell tensors apart."""

_ROUNDS = 4
"""Parts that may be needed to tell a name from others that read like it: layer, block, kind, which of the kind."""


def shortened(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Each name within ``width`` cells; what fits is left as it is.

    A name that is too wide keeps the parts ("layers.", "0/", "q_") that the fewest of the names have at that place,
    counted from its beginning or its end; an ellipsis stands for each run of others. Names that read alike all the same
    are told apart by what they do not share among themselves. Of the names of several fused nodes ("a/Conv;a/Relu") the
    shortest one that no other name holds stands for all.
    """
    owners = Counter(one for name in set(names) for one in set(_fused(name)))
    short = {name: name if cell_len(name) <= width else _one_of_fused(name, owners, ellipsis) for name in set(names)}
    split = {name: [part for part in _PARTS.findall(text) if part] for name, text in short.items()}
    wide = [name for name, text in short.items() if cell_len(text) > width]
    shared = _shared(split)
    first: dict[str, list[int]] = {name: [] for name in wide}
    cut = short | {name: _cut(short[name], split[name], shared[name], (), width, ellipsis) for name in wide}
    for _ in range(_ROUNDS):
        alike: dict[str, list[str]] = {}
        for name, text in cut.items():
            alike.setdefault(text, []).append(name)
        groups = [group for group in alike.values() if len(group) > 1]
        for group in groups:
            among = _shared({name: split[name] for name in group})
            for name in first.keys() & set(group):
                telling = [place for place, count in enumerate(among[name]) if count < len(group)]
                order = sorted(set(telling) - set(first[name]), key=lambda place: (among[name][place], -place))
                first[name] += order[:1]
                cut[name] = _cut(short[name], split[name], shared[name], first[name], width, ellipsis)
        if not groups:
            break
    return [cut[name] for name in names]


def telling(brief: Sequence[str], whole: Sequence[str]) -> list[str]:
    """The brief words where they mean one of the whole ones, the whole ones elsewhere."""
    meant = Counter(short for short, _ in set(zip(brief, whole, strict=True)))
    return [long if meant[short] > 1 else short for short, long in zip(brief, whole, strict=True)]


def _shared(split: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """For each part of each name, how many of the names have it at that place."""
    fronts = Counter((place, part) for parts in split.values() for place, part in enumerate(parts))
    backs = Counter((place, part) for parts in split.values() for place, part in enumerate(reversed(parts)))
    return {
        name: [max(fronts[place, part], backs[len(parts) - 1 - place, part]) for place, part in enumerate(parts)]
        for name, parts in split.items()
    }


def _fused(name: str) -> list[str]:
    return _NUMBER.sub("", name).split(";")


def _one_of_fused(name: str, owners: Counter[str], ellipsis: str) -> str:
    own = [one for one in _fused(name) if one and owners[one] == 1]
    number = _NUMBER.search(name)
    return min(own, key=len) + f";{ellipsis}" + (number[0] if number else "") if own and ";" in name else name


def _cut(
    name: str, parts: Sequence[str], shared: Sequence[int], first: Sequence[int], width: int, ellipsis: str
) -> str:
    """The parts at the places ``first``, then the least shared ones, the later of equals first, as many as fit.

    Letters are cut where not even one part fits. What was said once ("4/" of "add_4/add_4/add") is said again only
    where room is left, and so are words that go together ("post_attention_"): one of them, the shortest, says as much.
    """
    order = [*first, *sorted(set(range(len(parts))) - set(first), key=lambda place: (shared[place], -place))]
    again = {place for at, place in enumerate(order) if parts[place] in {parts[earlier] for earlier in order[:at]}}
    runs = groupby(range(len(parts)), key=lambda place: (shared[place], any(map(str.isdigit, parts[place]))))
    again |= {place for _, run in runs for place in sorted(run, key=lambda place: (len(parts[place]), -place))[1:]}
    again -= set(first)
    kept: set[int] = set()
    for place in sorted(order, key=again.__contains__):
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
    return text if ("(" in text) == (")" in text) else re.sub("[()]", "", text)
