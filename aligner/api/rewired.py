"""Nodes that read another tensor than they should: their operand is paired with what they should have read.

Such a pair errs, and with it all that read the same tensor rightly. Where the candidate's tensor holds the numbers of
one of the reference's that has no partner, and fewer nodes err once it is left alone, the two answer each other. Where
it holds no tensor's numbers, as the inside of another spelling, it answers nothing if a reader is right without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aligner.alignment.second_look import SecondLook, same_values
from aligner.execution.look import differences, glance
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.suspects import comes_right, suspects
from aligner.records.alignment import Alignment
from aligner.records.measurement import Measured

_TRIALS = 4
"""Suspects that are left alone, one at a time: a run each."""


def rewired(sides: Sides, passes: Passes, alignment: Alignment, known: SecondLook) -> SecondLook | None:
    """What is known with such an operand as what it is; None where there is none."""
    graphs, measured = (sides[0].graph, sides[1].graph), list(passes.measured.values())
    walk, suspected = RegionWalk(measured, graphs[1]), suspects(graphs, measured)
    readers = {value: walk.readers(walk.with_copies({value})) for value in suspected}
    several = {value: item for value, item in suspected.items() if any(one in suspected for one in readers[value])}
    if not several:
        return None
    for pair in _others(sides, passes, alignment, several, known):
        value = pair[1]
        found = differences(passes, sorted(readers[value]), walk.with_copies({value}))
        wrong = [one for one in readers[value] if not comes_right(graphs, passes.measured[one], found.get(one))]
        if len(wrong) <= sum(one in suspected for one in readers[value]):
            return known.repaired({(several[value].pair.reference, value)}, [pair])
    return _left_alone(sides, passes, walk, suspected, list(several)[:_TRIALS], known)


def _left_alone(
    sides: Sides,
    passes: Passes,
    walk: RegionWalk,
    suspected: Mapping[str, Measured],
    tried: Sequence[str],
    known: SecondLook,
) -> SecondLook | None:
    """What is known with a suspect dropped without which fewer err, one of its readers no longer among them."""
    graphs = sides[0].graph, sides[1].graph
    for value in tried:
        without = walk.with_copies({value})
        readers = walk.readers(without)
        found = differences(passes, sorted(readers), without)
        wrong = {one for one in readers if not comes_right(graphs, passes.measured[one], found.get(one))}
        erring = readers & suspected.keys()
        left = known.repaired({(suspected[value].pair.reference, value)}, [])
        if erring - wrong and len(wrong) < 1 + len(erring) and left != known:
            return left
    return None


def _others(
    sides: Sides, passes: Passes, alignment: Alignment, several: Mapping[str, Measured], known: SecondLook
) -> list[tuple[str, str]]:
    """Which tensors of the reference without a partner hold the numbers of suspects."""
    assert sides[0].profile is not None and sides[1].profile is not None
    sketches = sides[0].profile.sketches, sides[1].profile.sketches
    doubted = known.dropped | {(item.pair.reference, value) for value, item in several.items()}
    graphs = sides[0].graph, sides[1].graph
    paired = {pair.candidate for pair in alignment.pairs if pair.values not in doubted}
    seen = glance(sides[1], passes, sketches[1].keys() - paired)
    found = same_values(graphs, sketches, seen, alignment, doubted)
    return [pair for pair in found if pair[1] in several]
