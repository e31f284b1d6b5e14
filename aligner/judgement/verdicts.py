"""Judge every pair: who introduces an error, who only inherits it.

First each pair by itself (``pair_rules``), then what only its neighbours show (``GRAPH_RULES``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from aligner.judgement.borderline import MOST
from aligner.judgement.contradiction import contradicted
from aligner.judgement.pair_facts import SATURATED, PairFacts, Rules
from aligner.judgement.pair_rules import PAIR_RULES
from aligner.judgement.rule import opinions
from aligner.judgement.tolerance import beside_mask, bound, region_numbers
from aligner.records.comparison import PairVerdict
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.records.opinion import Opinion

GRAPH_RULES = {
    "closed-region": "the region around it, entered with the reference's tensors, leaves with them: another way to "
    "compute the same",
    "other-form": "another form of the tensor, as those that read it expect: the fault is theirs",
    "contradiction": "right alone and wrong within the whole, although what it reads agrees",
    "inherited": "within its bound, beyond the tolerance, and a fault lies upstream",
}
"""What neighbours say of a pair, before its own rules: id and meaning."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one pair, the bound it was held against, a remark where one is due, and the rule that decided.

    ``opinions`` are those of all rules, the deciding one first; ``together`` are the candidate values of the region
    that was judged as one with it; ``within`` is the node that errs, and what it does, where a rule knows it.
    """

    verdict: PairVerdict
    bound: float | None = None
    note: str | None = None
    rule: str = "beyond-bound"
    opinions: tuple[Opinion, ...] = ()
    together: tuple[str, ...] = ()
    within: tuple[str, str] | None = None

    def overruled(self, verdict: PairVerdict, rule: str, note: str | None = None) -> Judgement:
        """Another verdict, by a rule that looks at the neighbours; what was said before is kept."""
        opinion = Opinion(verdict, rule, note or "", None)
        return replace(self, verdict=verdict, note=note, rule=rule, opinions=(opinion, *self.opinions))

    def together_with(self, values: Collection[str]) -> Judgement:
        """The same verdict on a region of which no smaller part can be told to be the wrong one."""
        return replace(self, together=tuple(sorted(values)))


Jointly = Callable[[Sequence[Measured], Mapping[str, Judgement], frozenset[str]], Mapping[str, Judgement]]
"""Measured pairs, their judgements by candidate value, those that nothing may excuse → the judgements that change."""


def judge(
    graphs: tuple[Graph, Graph],
    measured: Sequence[Measured],
    rules: Rules,
    excused: Mapping[str, str] | None = None,
    jointly: Jointly | None = None,
) -> list[Judgement]:
    """One judgement for each pair, in order; pairs come in the candidate's execution order.

    ``excused`` maps candidate values whose own error is known to be rounding to the words that say so; ``jointly``
    judges what lies between agreeing pairs as one.
    """
    by_value = {item.pair.candidate: item for item in measured}
    relaid = (
        rules.relaid
        or graphs[0].channels != graphs[1].channels
        or any(_order(item) for item in measured if item.pair.candidate in graphs[1].inputs)
    )
    verdicts: dict[str, Judgement] = {}
    turned: set[str] = set()
    for item in measured:
        value, order = item.pair.candidate, None if relaid else _turned(graphs, item)
        turned |= {value} if order is not None else set()
        nearness = (excused or {}).get(value)
        verdicts[value] = _alone(PairFacts(graphs, item, by_value, rules, nearness=nearness, turned=order))
    if jointly is not None:
        verdicts |= jointly(measured, verdicts, frozenset(turned))
    if rules.fixed is None:
        verdicts |= _only_alone(graphs[1], measured, verdicts)
    return _inherit(graphs[1], measured, verdicts)


def _alone(facts: PairFacts) -> Judgement:
    found = opinions(PAIR_RULES, facts)
    first = found[0]
    limit = None if facts.difference is None else facts.limit
    drawn = facts.drawn if first.rule == "random-in-candidate" else None
    within = None if drawn is None else (drawn.name, "random")
    return Judgement(
        cast(PairVerdict, first.verdict), limit, first.why or None, first.rule, tuple(found), within=within
    )


def _turned(graphs: tuple[Graph, Graph], item: Measured) -> tuple[int, ...] | None:
    """The order of an output's axes, where it is another one that nothing downstream can put right."""
    pair = item.pair
    outputs = pair.reference in graphs[0].outputs and pair.candidate in graphs[1].outputs
    return _order(item) if outputs and pair.rule != "map" else None


def _order(item: Measured) -> tuple[int, ...] | None:
    """The axes of a pair where they put elements into another order; axes of size 1 do not."""
    axes, shape = item.pair.axes, item.reference_shape
    if axes is None or shape is None or not all(isinstance(axis, int) for axis in axes) or len(axes) != len(shape):
        return None
    moved = [axis for axis in axes if shape[axis] != 1]
    return tuple(axes) if moved != sorted(moved) else None


def doubtful(graphs: tuple[Graph, Graph], measured: Sequence[Measured]) -> list[Measured]:
    """The pairs whose local error passes the guessed bound: a measured noise decides."""
    found = []
    for item in measured:
        numbers = region_numbers(graphs, item)
        seen = beside_mask(graphs, item, numbers)
        if seen.local is not None and not numbers.exact and seen.local.errors.max_abs > bound(seen, numbers):
            found.append(item)
    return found


def in_doubt(item: Measured, judgement: Judgement) -> bool:
    """Whether a guilty node's local error is so near to its bound that more must be asked."""
    if judgement.verdict != "introduced" or item.local is None or not judgement.bound:
        return False
    return item.step is None and item.saturated <= SATURATED and item.local.errors.max_abs <= MOST * judgement.bound


def _only_alone(graph: Graph, measured: Sequence[Measured], verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """Pairs that compute the reference's numbers alone and others as a part of the whole, where nothing else is wrong.

    A model that disagrees with itself from run to run contradicts itself too, and is told by that.
    """
    found: dict[str, Judgement] = {}
    if any(judgement.verdict != "aligned" for judgement in verdicts.values()):
        return found
    for item, words in contradicted(graph, measured):
        value, whole = item.pair.candidate, item.accumulated
        if whole is not None:
            verdict: PairVerdict = "nonfinite" if whole.mismatched else "introduced"
            found[value] = verdicts[value].overruled(verdict, "contradiction", words)
    return found


def _inherit(graph: Graph, measured: Sequence[Measured], verdicts: Mapping[str, Judgement]) -> list[Judgement]:
    """Aligned pairs downstream of a fault whose accumulated error passes the tolerance have inherited it."""
    tainted = graph.descendants(value for value, judgement in verdicts.items() if _faulty(judgement))
    judged = []
    for item in measured:
        judgement = verdicts[item.pair.candidate]
        accumulated = item.accumulated
        beyond = accumulated is not None and (accumulated.errors.beyond > 0 or accumulated.mismatched > 0)
        if judgement.verdict == "aligned" and beyond and item.pair.candidate in tainted:
            judgement = judgement.overruled("inherited", "inherited", judgement.note)
        judged.append(judgement)
    return judged


def _faulty(judgement: Judgement) -> bool:
    return judgement.verdict in {"introduced", "nonfinite", "nondeterministic", "incomparable", "inherited"}
