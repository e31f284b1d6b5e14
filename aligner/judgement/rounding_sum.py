"""What rounding explains of a tensor at the end of many nodes, none of which makes another's error larger."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aligner.judgement.tolerance import bound, region_numbers
from aligner.records.graph import Graph
from aligner.records.measurement import Measured


def own_bounds(graphs: tuple[Graph, Graph], measured: Sequence[Measured]) -> dict[str, float]:
    """Candidate value → the rounding bound of its region by itself, relative to its largest value; exact ones 0.

    Measured noise is left out: it says what a node makes of errors before it, not what it does itself.
    """
    found = {}
    for item in measured:
        plain = replace(item, noise=None)
        difference = item.local or item.accumulated
        peak = difference.peak if difference is not None else 0.0
        found[item.pair.candidate] = bound(plain, region_numbers(graphs, plain)) / peak if peak > 0 else 0.0
    return found


def rounding_sum(measured: Mapping[str, Measured], bounds: Mapping[str, float], value: str) -> float:
    """The relative bounds of a value and of all that it is computed from, summed."""
    stack, seen = [value], {value}
    while stack:
        item = measured.get(stack.pop())
        for before in item.pair.candidate_region.inputs if item is not None else ():
            if before not in seen:
                seen.add(before)
                stack.append(before)
    return math.fsum(bounds.get(one, 0.0) for one in seen)  # whatever the order of a set
