"""Pairs that the injected run contradicts: no error of a node, two tensors that do not answer each other.

A node that is wrong harms nobody where its output is replaced by the reference's: that is what the injection does. A
pair that is wrong puts a stranger's tensor in the way of its readers; where it is left out, they are right again. So a
pair is wrong if a reader errs with it and everything behind it agrees without it.
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


def watched(measured: Sequence[Measured], left_out: Collection[str]) -> list[str]:
    """What tells whether pairs are wrong: they and the first pairs behind them that can be compared."""
    readers, found, stack = _readers(measured), dict.fromkeys(sorted(left_out)), sorted(left_out)
    while stack:
        for reader in readers.get(stack.pop(), ()):
            if reader.pair.candidate not in found:
                found[reader.pair.candidate] = None
                stack += [reader.pair.candidate] if reader.pair.note else []
    return list(found)


def wrong_pairs(
    graphs: Graphs,
    measured: Sequence[Measured],
    without: Mapping[str, Difference],
    suspected: Mapping[str, Measured],
    left_out: Collection[str],
) -> set[str]:
    """Which pairs are wrong; ``without``: what is ``watched``, where those ``left_out`` are not injected."""
    readers, healed = _readers(measured), _healed(graphs, measured, without, left_out)
    open_ = set(left_out) - healed
    return {value for value in _made_up_for(readers, healed, open_) if _harmed(value, readers, suspected, open_)}


def made_up_for(
    graphs: Graphs, measured: Sequence[Measured], without: Mapping[str, Difference], left_out: Collection[str]
) -> set[str]:
    """Of values ``left_out`` of a run those that are right without the others, or right behind which everything is."""
    readers, healed = _readers(measured), _healed(graphs, measured, without, left_out)
    return (set(left_out) & healed) | _made_up_for(readers, healed, set(left_out) - healed)


def _healed(
    graphs: Graphs, measured: Sequence[Measured], without: Mapping[str, Difference], left_out: Collection[str]
) -> set[str]:
    """What agrees without what is left out."""
    ran = [item for item in measured if item.pair.candidate in left_out]
    allowed = sum((_share(graphs, item) for item in ran), 0.0)
    return {
        item.pair.candidate
        for item in measured
        if (error := without.get(item.pair.candidate)) is not None and _agrees(graphs, item, error, allowed)
    }


def _made_up_for(
    readers: Mapping[str, Sequence[Measured]], healed: Collection[str], open_: Collection[str]
) -> set[str]:
    fronts = {value: _frontier(value, readers, open_) for value in open_}
    return {value for value, front in fronts.items() if front and front <= set(healed)}


def _harmed(
    value: str, readers: Mapping[str, Sequence[Measured]], suspected: Collection[str], open_: Collection[str]
) -> bool:
    """Whether a reader errs, directly or behind pairs that only hand on what they are given."""
    stack, seen = [value], {value}
    while stack:
        for reader in readers.get(stack.pop(), ()):
            name = reader.pair.candidate
            if name in suspected:
                return True
            if name in open_ and name not in seen:
                seen.add(name)
                stack.append(name)
    return False


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


def _frontier(value: str, readers: Mapping[str, Sequence[Measured]], open_: Collection[str]) -> set[str]:
    """The first pairs behind one that are not themselves open."""
    found, seen, stack = set[str](), {value}, [value]
    while stack:
        for reader in readers.get(stack.pop(), ()):
            name = reader.pair.candidate
            if name in seen:
                continue
            seen.add(name)
            if name in open_ or reader.pair.note:
                stack.append(name)
            else:
                found.add(name)
    return found
