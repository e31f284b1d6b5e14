"""Excuses that name another pair hold as long as that pair is wrong: no chain of them ends in one that is excused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from aligner.judgement.judgement import Judgement
from aligner.operations.kinds import AMONG_NEAR, MOVES_DATA, RECODED
from aligner.records.comparison import PairVerdict
from aligner.records.graph import Graph, Node
from aligner.records.opinion import Opinion

FOUNDS = frozenset({"introduced", "nonfinite", "nondeterministic", "incomparable"})
"""Verdicts that others can have inherited from."""
UNFED = "float16-overflow-before"
"""Not an error from above: what a dump or a model holds in half precision cannot be fed, and nothing was measured."""
_STAY = frozenset({"accumulated-nonfinite", "accumulated-jump", UNFED})


def refounded(graph: Graph, verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """What is left of pairs that say to inherit from above where nothing above is wrong: their next opinion.

    One that is thereby guilty founds those below it, so that the first of a chain alone changes. Estimates, of pairs
    that nothing could be injected into, have no other opinion, and stay.
    """
    found = _cut_off_before_movers(graph, verdicts)
    tainted = graph.descendants(value for value, one in verdicts.items() if one.verdict in FOUNDS)
    for value, one in verdicts.items():  # in the order of execution
        if one.verdict != "inherited" or value in tainted:
            continue
        rest = tuple(opinion for opinion in one.opinions if opinion.verdict != "inherited")
        if not rest or one.rule in _STAY:
            continue
        found[value] = _going_on(one, rest)
        if found[value].verdict in FOUNDS:
            tainted |= graph.descendants([value])
    return found


def _cut_off_before_movers(graph: Graph, verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """What is cut off, and read with another range by a node that only moves or pools it: the range that is full."""
    found = {}
    for value, one in verdicts.items():
        movers = [node for node in graph.readers(value) if _keeps(graph, node)] if one.rule == "cut-off-unseen" else []
        if any(name in verdicts and verdicts[name].verdict in FOUNDS for node in movers for name in node.outputs):
            found[value] = _going_on(one, one.opinions[1:])
    return found


def _keeps(graph: Graph, node: Node) -> bool:
    """Whether all that a node gives lies among what it reads, and nothing but the range differs."""
    if node.kind in AMONG_NEAR:
        read, made = (graph.values[name].quantization for name in (node.inputs[0], node.outputs[0]))
        return read != made
    return node.kind in MOVES_DATA - RECODED


def _going_on(one: Judgement, rest: tuple[Opinion, ...]) -> Judgement:
    first = rest[0]
    return replace(
        one, verdict=cast(PairVerdict, first.verdict), rule=first.rule, note=first.why or None, opinions=rest
    )
