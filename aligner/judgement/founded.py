"""Excuses that name another pair hold as long as that pair is wrong: no chain of them ends in one that is excused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from aligner.judgement.judgement import Judgement
from aligner.records.comparison import PairVerdict
from aligner.records.graph import Graph

FOUNDS = frozenset({"introduced", "nonfinite", "nondeterministic", "incomparable"})
"""Verdicts that others can have inherited from."""
_ESTIMATES = frozenset({"accumulated-nonfinite", "accumulated-jump"})


def refounded(graph: Graph, verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """What is left of pairs that say to inherit from above where nothing above is wrong: their next opinion.

    One that is thereby guilty founds those below it, so that the first of a chain alone changes. Estimates, of pairs
    that nothing could be injected into, have no other opinion, and stay.
    """
    found: dict[str, Judgement] = {}
    tainted = graph.descendants(value for value, one in verdicts.items() if one.verdict in FOUNDS)
    for value, one in verdicts.items():  # in the order of execution
        if one.verdict != "inherited" or value in tainted:
            continue
        rest = tuple(opinion for opinion in one.opinions if opinion.verdict != "inherited")
        if not rest or one.rule in _ESTIMATES:
            continue
        first = rest[0]
        verdict = cast(PairVerdict, first.verdict)
        found[value] = replace(one, verdict=verdict, rule=first.rule, note=first.why or None, opinions=rest)
        if verdict in FOUNDS:
            tainted |= graph.descendants([value])
    return found
