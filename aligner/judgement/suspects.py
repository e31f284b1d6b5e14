"""Pairs that surely err on the reference's tensors, and those that the injected run contradicts: wrong pairs.

A node that is wrong harms nobody where its output is replaced by the reference's: that is what the injection does. A
pair that is wrong puts a stranger's tensor in the way of its readers; where it is left out, they are right again. So a
pair is wrong if a reader errs with it and everything behind it agrees without it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from aligner.judgement.borderline import MOST
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.tolerance import beside_mask, bound, region_numbers
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


def comes_right(graphs: Graphs, item: Measured, difference: Difference | None) -> bool:
    """Whether rounding explains a difference that a trial has left of a pair's.

    Nothing is shown where it may take all of the tensor: the noise was measured on other numbers than the trial's; nor
    by the numbers that a mask adds, which are so large that rounding of theirs explains anything beside them.
    """
    if difference is None:
        return False
    tried = replace(item, local=difference)
    seen = beside_mask(graphs, tried, region_numbers(graphs, tried))
    if seen.local is None or excess(graphs, seen, seen.local) > MOST:
        return False
    return not seen.local.errors.max_abs or limit(graphs, seen, seen.local) < seen.local.peak


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


def watched(walk: RegionWalk, left_out: Collection[str]) -> list[str]:
    """What tells whether pairs are wrong: they and the first pairs behind them that can be compared."""
    return list(dict.fromkeys([*sorted(left_out), *walk.behind(sorted(left_out), _noted(walk))]))


def wrong_pairs(
    graphs: Graphs,
    walk: RegionWalk,
    without: Mapping[str, Difference],
    suspected: Collection[str],
    left_out: Collection[str],
) -> set[str]:
    """Which pairs are wrong; ``without``: what is ``watched``, where those ``left_out`` are not injected.

    A reader of each errs, directly or behind pairs that only hand on what they are given.
    """
    healed = _healed(graphs, walk, without, left_out)
    open_ = set(left_out) - healed
    return {
        value
        for value in _made_up_for(walk, healed, open_)
        if not walk.behind([value], open_).keys().isdisjoint(suspected)
    }


def made_up_for(
    graphs: Graphs, walk: RegionWalk, without: Mapping[str, Difference], left_out: Collection[str]
) -> set[str]:
    """Of values ``left_out`` of a run those that are right without the others, or right behind which everything is."""
    healed = _healed(graphs, walk, without, left_out)
    return (set(left_out) & healed) | _made_up_for(walk, healed, set(left_out) - healed)


def _healed(graphs: Graphs, walk: RegionWalk, without: Mapping[str, Difference], left_out: Collection[str]) -> set[str]:
    """What agrees without what is left out, as far as rounding lets it, its own and that of what ran before it.

    Each region adds the share of its output that rounding may take. Where that is all of it, as behind a quotient by
    next to nothing, any tensor of the size would pass, and none is shown to agree.
    """
    ran = [item for item in map(walk.items.get, sorted(left_out)) if item is not None and item.local is not None]
    allowed = sum(_share(graphs, item, item.local) for item in ran if item.local is not None)
    found = set[str]()
    for value, error in without.items():
        share = MOST * (allowed + _share(graphs, walk.items[value], error))
        within = share < 1 and error.errors.max_abs <= share * max(error.peak, _TINY)
        if not error.mismatched and (within or not error.errors.max_abs):
            found.add(value)
    return found


def _share(graphs: Graphs, item: Measured, difference: Difference) -> float:
    return limit(graphs, item, difference) / max(difference.peak, _TINY)


def _made_up_for(walk: RegionWalk, healed: Collection[str], open_: Collection[str]) -> set[str]:
    """Open values of which the first pairs behind them that are not open, and can be compared, are all right."""
    through = _noted(walk) | set(open_)
    fronts = {value: walk.behind([value], through).keys() - through - {value} for value in open_}
    return {value for value, front in fronts.items() if front and front <= set(healed)}


def _noted(walk: RegionWalk) -> set[str]:
    return {value for value, item in walk.items.items() if item.pair.note}
