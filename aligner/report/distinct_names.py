"""Names cut to a width so that what tells them apart stays: the parts that most of them share leave first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from rich.cells import cell_len

from aligner.report.page import shorten

_PARTS = re.compile(r"[^/.:\s_]*[/.:\s_]*")


def shortened(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Each name within ``width`` cells; what fits is left as it is.

    A name that is too wide keeps the parts ("layers.", "0/", "q_") that the fewest of the names have at that place,
    counted from its beginning or its end; an ellipsis stands for each run of others.
    """
    split = {name: [part for part in _PARTS.findall(name) if part] for name in set(names)}
    fronts = Counter((place, part) for parts in split.values() for place, part in enumerate(parts))
    backs = Counter((place, part) for parts in split.values() for place, part in enumerate(reversed(parts)))
    cut: dict[str, str] = {}
    for name, parts in split.items():
        shared = [max(fronts[place, part], backs[len(parts) - 1 - place, part]) for place, part in enumerate(parts)]
        cut[name] = name if cell_len(name) <= width else _cut(name, parts, shared, width, ellipsis)
    return [cut[name] for name in names]


def _cut(name: str, parts: Sequence[str], shared: Sequence[int], width: int, ellipsis: str) -> str:
    """The least shared parts, the later of equals first, as many as fit; letters are cut where not even one does."""
    kept: set[int] = set()
    for place in sorted(range(len(parts)), key=lambda place: (shared[place], -place)):
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
