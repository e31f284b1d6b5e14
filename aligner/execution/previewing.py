"""Pictures of the few pairs that deserve them: the first divergences and the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from aligner.diff.preview import preview
from aligner.execution.passes import Passes
from aligner.records import progress
from aligner.records.comparison import GUILTY, Pair
from aligner.records.preview import Preview

CULPRITS, OUTPUTS = 12, 4


def previews(
    passes: Passes, pairs: Sequence[Pair], outputs: Sequence[Pair], channels: Literal["first", "last"]
) -> tuple[Preview, ...]:
    """Look again at the first culprits (fed with the reference's tensors where that was measured) and the outputs.

    ``pairs`` stand in the order of ``passes.measured``; ``channels`` says where the reference keeps that axis.
    """
    places = {id(pair): place for place, pair in enumerate(pairs)}
    values = list(passes.measured)
    culprits = [place for place, pair in enumerate(pairs) if pair.verdict in GUILTY][:CULPRITS]
    ends = [places[id(pair)] for pair in outputs if pair.verdict != "aligned"][:OUTPUTS]
    alone = {values[place]: place for place in culprits if pairs[place].local is not None}
    whole = {values[place]: place for place in (*culprits, *ends) if values[place] not in alone}
    if alone or whole:
        progress.enter("", "drawing pictures")
    found = [*_drawn(passes, alone, "local", channels), *_drawn(passes, whole, "accumulated", channels)]
    return tuple(sorted(found, key=lambda item: item.pair))


def _drawn(
    passes: Passes,
    wanted: Mapping[str, int],
    error: Literal["local", "accumulated"],
    channels: Literal["first", "last"],
) -> list[Preview]:
    found: dict[int, Preview] = {}
    if not wanted:
        return []
    for value, expected, moved in passes.tensors(list(wanted), local=error == "local"):
        drawn = preview(expected, moved, pair=wanted[value], error=error, channels=channels)
        if drawn is not None:
            found.setdefault(drawn.pair, drawn)
    return list(found.values())
