"""Recorded tensors that are not what the device went on from: their memory was written over, or never written."""

from __future__ import annotations

from collections.abc import Callable, Collection

from aligner.records.graph import Graph

_MOST_TRIED = 16
"""Limit of cost: each takes a run of the model. What is not tried is left to the model, or nothing is."""

Misfits = Callable[[Collection[str]], "set[str]"]
"""The recorded values that the model does not give where those named are not put into it."""


def overwritten(graph: Graph, recorded: Collection[str], deviating: Collection[str], misfits: Misfits) -> list[str]:
    """The ``deviating`` values that are left to the model, so that it gives the most of what was recorded.

    What the device did otherwise is seen behind it: without that tensor the next ones are not what the model gives. A
    tensor that was written over is seen where it is put in: what is computed from it is not what was recorded. Only
    those are left to the model that lie before something that it gives then.
    """
    free = {value: None for value in deviating if value not in graph.outputs}
    if len(deviating) < 2 or not free:
        return []
    best, tried = misfits(free), 1
    while tried < _MOST_TRIED:
        behind = graph.ancestors(best - free.keys())
        found = []
        for value in [value for value in free if value in behind][: _MOST_TRIED - tried]:
            tried += 1
            found.append((misfits([one for one in free if one != value]), value))
        fewest, value = min(found, key=lambda one: len(one[0]), default=(best, ""))
        if len(fewest) >= len(best):
            break
        best = fewest
        del free[value]
    if len(best) > len(deviating):
        return []
    kept = [value for value in recorded if value not in free]
    inner = [graph.region(kept, end) for end in kept if end not in best]
    shown = {value for region in inner for node in region for value in node.outputs}
    return [value for value in free if value in best and value in shown]
