"""Pairs that the injected run contradicts: a node errs, or two tensors do not answer each other.

A node that is wrong harms nobody where its output is replaced by the reference's: that is what the injection does. A
pair that is wrong puts a stranger's tensor in the way of its readers; where it is left out, they are right again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from aligner.judgement.borderline import MOST
from aligner.judgement.tolerance import bound, region_numbers
from aligner.operations.kinds import LAYOUT
from aligner.records.difference import Difference
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

_GIVEN = frozenset({"map", "input"})
_TINY = 1e-30

Graphs = tuple[Graph, Graph]


def excess(graphs: Graphs, item: Measured, difference: Difference | None) -> float:
    """How many times a difference is what rounding explains at this pair; infinite where they cannot be compared."""
    if difference is None or difference.mismatched:
        return float("inf")
    if not difference.errors.max_abs:
        return 0.0
    allowed = limit(graphs, item, difference)
    return difference.errors.max_abs / allowed if allowed else float("inf")


def limit(graphs: Graphs, item: Measured, difference: Difference) -> float:
    """The error that rounding explains at a pair, for tensors as large as those of a difference."""
    seen = replace(item, local=difference)
    return bound(seen, region_numbers(graphs, seen))


def suspects(graphs: Graphs, measured: Iterable[Measured]) -> dict[str, Measured]:
    """Pairs that surely err on the reference's tensors; the user's own and the inputs never do."""
    return {
        item.pair.candidate: item
        for item in measured
        if item.local is not None and item.pair.rule not in _GIVEN and excess(graphs, item, item.local) > MOST
    }


def between(graphs: Graphs, measured: Sequence[Measured], suspected: Collection[str]) -> set[str]:
    """The suspects with all pairs on a way from one of them to another, and with moved forms of them."""
    readers = _readers(measured)
    behind, before = _reached(suspected, readers), set[str]()
    for item in reversed(measured):
        name = item.pair.candidate
        if name in suspected or name in before:
            before.update(item.pair.candidate_region.inputs)
    return set(suspected) | (behind & before) | with_forms(graphs, measured, suspected)


def reading(measured: Sequence[Measured], values: Collection[str]) -> set[str]:
    """The pairs whose regions start from some tensors."""
    return {
        item.pair.candidate
        for item in measured
        if item.pair.candidate not in values and not set(values).isdisjoint(item.pair.candidate_region.inputs)
    }


def first_reached(measured: Sequence[Measured], values: Collection[str], suspected: Collection[str]) -> set[str]:
    """The first suspects on every way on from some tensors."""
    readers, found, stack, seen = _readers(measured), set[str](), list(values), set(values)
    while stack:
        for reader in readers.get(stack.pop(), ()):
            name = reader.pair.candidate
            if name in suspected:
                found.add(name)
            elif name not in seen:
                seen.add(name)
                stack.append(name)
    return found


def with_forms(graphs: Graphs, measured: Sequence[Measured], chosen: Collection[str]) -> set[str]:
    """Pairs with the moved forms of their candidates, which bear the same reference's tensor."""
    found = set(chosen)
    for item in measured:
        inputs = item.pair.candidate_region.inputs
        if len(inputs) == 1 and inputs[0] in found and _moves(graphs, item):
            found.add(item.pair.candidate)
    return found


def _moves(graphs: Graphs, item: Measured) -> bool:
    nodes = [graphs[1].nodes[index] for index in item.pair.candidate_region.nodes]
    return bool(nodes) and all(node.kind in LAYOUT for node in nodes)


def _reached(values: Collection[str], readers: Mapping[str, Sequence[Measured]]) -> set[str]:
    found, stack = set[str](), list(values)
    while stack:
        for reader in readers.get(stack.pop(), ()):
            if reader.pair.candidate not in found:
                found.add(reader.pair.candidate)
                stack.append(reader.pair.candidate)
    return found


def right_without(
    graphs: Graphs, measured: Sequence[Measured], without: Mapping[str, Difference], left_out: Collection[str]
) -> set[str]:
    """Of values ``left_out`` of a run those that are right without the others."""
    ran = [item for item in measured if item.pair.candidate in left_out]
    allowed = sum((_share(graphs, item) for item in ran), 0.0)
    return {
        item.pair.candidate
        for item in ran
        if (error := without.get(item.pair.candidate)) is not None and _agrees(graphs, item, error, allowed)
    }


def _agrees(graphs: Graphs, item: Measured, difference: Difference, allowed: float) -> bool:
    """Whether a pair agrees as far as rounding lets it, its own and that of the regions that ran before it.

    Each region adds the share of its output that rounding may take; ``allowed`` is the sum of those. Where that is all
    of it, as behind a quotient by next to nothing, any tensor of the size would pass, and none is shown to agree.
    """
    if difference.mismatched:
        return False
    if not difference.errors.max_abs:
        return True
    share = MOST * (allowed + limit(graphs, item, difference) / max(difference.peak, _TINY))
    return share < 1 and difference.errors.max_abs <= share * max(difference.peak, _TINY)


def _share(graphs: Graphs, item: Measured) -> float:
    if item.local is None:
        return 0.0
    return limit(graphs, item, item.local) / max(item.local.peak, _TINY)


def _readers(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    readers: dict[str, list[Measured]] = {}
    for item in measured:
        for value in item.pair.candidate_region.inputs:
            if value != item.pair.candidate:
                readers.setdefault(value, []).append(item)
    return readers
