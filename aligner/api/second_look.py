"""Pairs found again from the tensors of the injected run, until nothing new comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from aligner.alignment.second_look import SecondLook, same_values
from aligner.api.exchanged import exchanged
from aligner.api.meant_moves import with_meant_moves
from aligner.api.narrowing import Narrowing
from aligner.api.open_suspects import is_many
from aligner.api.rewired import rewired
from aligner.api.within import locate_within
from aligner.execution.look import differences, look
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.suspects import excess, suspects, watched, wrong_pairs
from aligner.records.alignment import Alignment, PairedValues
from aligner.records.graph import Graph

_ROUNDS = 6
"""Looks at most: each drops, finds or narrows down something, and most find nothing after the third."""

_TRIALS = 32
"""Runs with one tensor in another's place, for all regions together: each has few tensors of one size on both sides."""

_FOLLOWING = frozenset({"map", "input", "layout", "inserted"})
_SETTLED = frozenset({"constant", "layout-only", "not computed"})

Align = Callable[[SecondLook], Alignment]
Measure = Callable[[Alignment], None]


def second_look(sides: Sides, passes: Passes, alignment: Alignment, align: Align, measure: Measure) -> Alignment:
    """Drop the pairs that the injected run contradicts, and pair what holds the same numbers there.

    ``align`` pairs again with what has been seen; ``measure`` brings ``passes`` up to date with it.
    """
    known, narrowing, looked = SecondLook(), Narrowing(sides, passes, _TRIALS), set[frozenset[str]]()
    for _ in range(_ROUNDS):
        again = _seen(sides, passes, alignment, known, looked) or exchanged(sides, passes, known)
        again = again or rewired(sides, passes, alignment, known) or narrowing.narrowed(known)
        if again is None:
            break
        known = again
        alignment = align(replace(known, confirmed=_confirmed(sides, passes, known)))
        measure(alignment)
    alignment = with_meant_moves(sides, passes, alignment, known, align, measure)
    locate_within(sides, passes, narrowing.missing)
    return alignment


def _seen(
    sides: Sides, passes: Passes, alignment: Alignment, known: SecondLook, looked: set[frozenset[str]]
) -> SecondLook | None:
    """What a further look adds to what is known; None where it adds nothing.

    ``looked`` holds the suspects with which everything has been looked at: what was paired since holds the numbers that
    were seen then, and shows nothing new.
    """
    graphs, measured = (sides[0].graph, sides[1].graph), list(passes.measured.values())
    injectable = passes.injectable()
    suspected = {value: item for value, item in suspects(graphs, measured).items() if value in injectable}
    if not suspected:
        return None
    walk, partner = RegionWalk(measured, graphs[1]), {item.pair.candidate: item.pair.reference for item in measured}
    wrong: set[str] = set()
    sets = [frozenset(find(suspected)) for find in (walk.with_copies, walk.between)]
    for left_out in dict.fromkeys(sets):
        if is_many(len(left_out), len(measured)):
            continue
        without = differences(passes, watched(walk, left_out), left_out)
        wrong = wrong_pairs(graphs, walk, without, suspected, left_out)
        if wrong:
            break
    if not wrong and (frozenset(suspected) in looked or not _open(alignment)):
        return None
    looked.add(frozenset(suspected) - wrong)
    seen = look(sides[1], passes, wrong)
    assert sides[0].profile is not None and sides[1].profile is not None
    sketches = sides[0].profile.sketches, sides[1].profile.sketches
    doubted = {(partner[value], value) for value in suspected}
    elsewhere = same_values(graphs, sketches, seen, alignment, known.dropped | doubted, set(partner))
    for reference, candidate in elsewhere:
        wrong |= {value for value in suspected if partner[value] == reference and value != candidate}
    dropped = known.dropped | {(partner[value], value) for value in wrong}
    new = same_values(graphs, sketches, seen, alignment, dropped)
    inserted = _inserted(graphs[1], new, {partner[value]: value for value in wrong & set(suspected)})
    if dropped == known.dropped and set(new) <= set(known.found):
        return None
    found = [pair for pair in known.found if pair not in dropped]
    return SecondLook(
        seen,
        tuple(dict.fromkeys([*found, *new])),
        dropped,
        tuple(dict.fromkeys([*known.inserted, *inserted])),
    )


def _confirmed(sides: Sides, passes: Passes, known: SecondLook) -> tuple[PairedValues, ...]:
    """The pairs that are right on the reference's tensors, forms and what is inserted left out: these follow."""
    graphs = sides[0].graph, sides[1].graph
    return tuple(
        item.pair
        for item in passes.measured.values()
        if item.pair.rule not in _FOLLOWING
        and item.pair.values not in known.dropped
        and item.local is not None
        and excess(graphs, item, item.local) <= 1
    )


def _open(alignment: Alignment) -> bool:
    """Whether the candidate has tensors that could still be paired: the reference has those of what errs."""
    return any(reason not in _SETTLED for reason in alignment.unpaired_candidate.values())


def _inserted(candidate: Graph, new: list[tuple[str, str]], wrong: Mapping[str, str]) -> list[tuple[str, str]]:
    """Dropped pairs whose reference's tensor stands before them on the candidate's side: a node was put between."""
    return [
        (reference, wrong[reference])
        for reference, value in new
        if reference in wrong and value in candidate.ancestors([wrong[reference]])
    ]
