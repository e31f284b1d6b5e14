"""Where a run of one side on the other's tensors is entered: at the nearest of them before what it shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aligner.records.alignment import PairedValues


def entries(
    pairs: Mapping[str, PairedValues],
    injectable: Mapping[str, PairedValues],
    shown: Collection[str],
    left: Collection[str],
    host: int,
) -> dict[str, PairedValues]:
    """The injectable pairs that the regions of the shown ones start from, through others' where these are ``left``.

    Pairs are by candidate value; ``host`` is the side that computes.
    """
    by_held = {pair.values[host]: pair for pair in pairs.values()}
    given = {pair.values[host]: (value, pair) for value, pair in injectable.items()}
    own = {pairs[value].values[host] if value in pairs else value for value in left}
    found: dict[str, PairedValues] = {}
    stack, seen = [pairs[value].values[host] for value in shown], set[str]()
    while stack:
        pair = by_held.get(stack.pop())
        for value in pair.regions[host].inputs if pair is not None else ():
            if value in seen:
                continue
            seen.add(value)
            if value in given and value not in own:
                found.update([given[value]])
            else:
                stack.append(value)
    return found
