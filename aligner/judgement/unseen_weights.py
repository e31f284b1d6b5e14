"""Weights that differ although the tensors agree: does this input not reach them, or does the rest make up for it?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from aligner.errors import AlignerError
from aligner.execution.joint_runs import JointRuns, SpentError
from aligner.judgement.borderline import differing_weights
from aligner.judgement.joint_test import JointTest
from aligner.judgement.pair_facts import Rules
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.tolerance import region_numbers
from aligner.operations.operation import Unsupported
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit

_MOST = 1 << 26
"""Stored numbers of the candidate that are read to look for what does not show, from the first layer on."""
_THREADS = 2
"""As many as the slowest part, reading weights from a file, keeps busy."""
Graphs = tuple[Graph, Graph]


def unseen(graphs: Graphs, quiet: Sequence[Measured]) -> dict[str, list[str]]:
    """Weights that differ, in words, by the candidate value whose tensors agree nevertheless.

    ``quiet``: pairs of which there is nothing to say. Where one side stores its weights coarser all of them differ, and
    nothing is said.
    """

    def look(item: Measured) -> list[str]:
        try:
            return differing_weights(Culprit(graphs, item, None)) or []
        except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
            return []

    chosen = [
        item
        for item in quiet
        if item.local is not None and item.pair.candidate_region.weights and not region_numbers(graphs, item).storage
    ]
    chosen = _first(graphs[1], chosen)
    with ThreadPoolExecutor(_THREADS, "aligner-weights") as pool:  # most of it is reading files and comparing numbers
        found = list(pool.map(look, chosen))
    return {item.pair.candidate: words for item, words in zip(chosen, found, strict=True) if words}


def _first(graph: Graph, items: Sequence[Measured]) -> list[Measured]:
    """The items whose weights can be read before the work is done."""
    found, left = [], _MOST
    for item in items:
        sizes = [math.prod(graph.weights[name].shape) for name in item.pair.candidate_region.weights]
        left -= sum(sizes)
        if left < 0:
            break
        found.append(item)
    return found


def same_on_others(graphs: Graphs, values: Sequence[str], runs: JointRuns, rules: Rules) -> set[str]:
    """Those of the values that agree on other numbers as well: channels in an order, or times a factor, that the rest
    of their region undoes."""
    passes = runs.passes
    walk = RegionWalk(list(passes.measured.values()), graphs[runs.host], runs.host)
    test, found = JointTest(graphs, runs, rules, walk), set[str]()
    try:
        for group in _apart(walk, values):
            inputs = sorted({name for value in group for name in walk.inputs(value)})
            with runs.stirring(inputs) as stirred:
                exits = test.changed(passes.free, group).exits if stirred else {}
            found |= {value for value, one in exits.items() if one.within}
    except (AlignerError, SpentError):  # it stays open
        return found
    return found


def _apart(walk: RegionWalk, values: Sequence[str]) -> Iterator[list[str]]:
    """The values in groups in which none is what another is computed from, as its numbers are changed there."""
    groups: list[tuple[list[str], set[str]]] = []
    for value in values:
        own = set(walk.inputs(value))
        group = next((one for one in groups if value not in one[1] and not own & set(one[0])), None)
        if group is None:
            groups.append(group := ([], set()))
        group[0].append(value)
        group[1].update(own)
    for group in groups:
        yield group[0]
