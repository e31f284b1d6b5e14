"""Judge every pair: who introduces an error, who only inherits it.

First each pair by itself (``pair_rules``), then what only its neighbours show (``GRAPH_RULES``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from aligner.judgement.borderline import MOST
from aligner.judgement.contradiction import contradicted
from aligner.judgement.founded import FOUNDS, UNFED, refounded
from aligner.judgement.gain import unit_of
from aligner.judgement.judgement import Judgement
from aligner.judgement.pair_facts import PairFacts, Rules
from aligner.judgement.pair_rules import PAIR_RULES
from aligner.judgement.rule import opinions
from aligner.judgement.tolerance import beside_mask, bound, region_numbers
from aligner.operations.kinds import PICKED, VIEWS
from aligner.records.comparison import PairVerdict
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.inner_tensors import SATURATED, is_read_otherwise

GRAPH_RULES = {
    "closed-region": "the region around it, entered with the reference's tensors, leaves with them: another way to "
    "compute the same",
    "other-form": "another form of the tensor, as those that read it expect: the fault is theirs",
    "inner-node-errs": "in few bits, a tensor inside the region is not what its node computes of what it reads, and "
    "the region's end comes nearer to the reference without that; in half precision, the other side's numbers hold "
    "nothing of what a factor changes that stands in one model alone; in either, they hold all of what another bias, "
    "or other numbers of a normalisation, would change; in few bits, the region is three times as far off as the "
    "reference's own numbers are, rounded to the same steps; and no other layer undoes it",
    "of-no-effect": "the shapes do not fit, and every output agrees all the same: two tensors that do not answer each "
    "other, or another way to compute the same",
    "contradiction": "right alone and wrong within the whole, although what it reads agrees",
    "inherited": "within its bound, beyond the tolerance, and a fault lies upstream",
}
"""What neighbours say of a pair, before its own rules: id and meaning."""


Jointly = Callable[[Sequence[Measured], Mapping[str, Judgement], frozenset[str]], Mapping[str, Judgement]]
"""Measured pairs, their judgements by candidate value, those that nothing may excuse → the judgements that change."""

Erring = Callable[[Sequence[Measured], Collection[str]], Iterable[tuple[Measured, tuple[str, str, str | None], str]]]
"""Measured pairs, those excused jointly → those with a node inside that errs, where that is, and what it does."""


def judge(
    graphs: tuple[Graph, Graph],
    measured: Sequence[Measured],
    rules: Rules,
    excused: Mapping[str, str] | None = None,
    jointly: Jointly | None = None,
    erring: Erring | None = None,
) -> list[Judgement]:
    """One judgement for each pair, in order; pairs come in the candidate's execution order.

    ``excused`` maps candidate values whose own error is known to be rounding to the words that say so; ``jointly``
    judges what lies between agreeing pairs as one; ``erring`` finds nodes that err inside pairs that do not.
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
        turned |= {value} if order is not None or _misread(graphs[1], item) else set()
        nearness = (excused or {}).get(value)
        verdicts[value] = _alone(PairFacts(graphs, item, by_value, rules, nearness=nearness, turned=order))
    alone, verdicts = verdicts, _jointly(measured, verdicts, turned, jointly)
    while new := refounded(graphs[1], verdicts):
        alone |= new
        verdicts = _jointly(measured, alone, turned, jointly)
    if erring is not None:
        found = _from_within(measured, verdicts, erring)
        blamed = found.keys() - {value for value, one in verdicts.items() if one.verdict == "introduced"}
        undoable = {item.pair.candidate for item in measured if unit_of(region_numbers(graphs, item))} & blamed
        if undoable:  # a factor that one pair has more may be undone by another
            verdicts = _jointly(measured, alone | {value: found[value] for value in undoable}, turned, jointly)
        kept = (value for value in found if value in blamed - undoable or verdicts[value].verdict == "introduced")
        verdicts |= {value: found[value] for value in kept}
    if rules.fixed is None:
        verdicts |= _of_no_effect(measured, verdicts) if rules.outputs_agree else {}
        verdicts |= _only_alone(graphs[1], measured, verdicts)
    return _inherit(graphs[1], measured, verdicts)


def _jointly(
    measured: Sequence[Measured], alone: Mapping[str, Judgement], never: Collection[str], jointly: Jointly | None
) -> dict[str, Judgement]:
    changed = jointly(measured, alone, frozenset(never)) if jointly is not None else {}
    return {**alone, **changed}


def _from_within(
    measured: Sequence[Measured], verdicts: Mapping[str, Judgement], erring: Erring
) -> dict[str, Judgement]:
    """Pairs that a node inside makes guilty, and those that are guilty anyway, with that node."""
    asked = [
        item for item in measured if verdicts[item.pair.candidate].verdict in {"aligned", "inherited", "introduced"}
    ]
    found: dict[str, Judgement] = {}
    excused = {value for value, one in verdicts.items() if one.rule in {"closed-region", "other-form"}}
    for item, within, words in erring(asked, excused):
        told = verdicts[item.pair.candidate]
        told = told if told.verdict == "introduced" else told.overruled("introduced", "inner-node-errs", words)
        found[item.pair.candidate] = replace(told, within=told.within or within)
    return found


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


def _misread(graph: Graph, item: Measured) -> bool:
    """Whether all that computes a pair is codes that are moved and then read with another step: no way to compute."""
    nodes = [graph.nodes[index] for index in item.pair.candidate_region.nodes]
    read = [is_read_otherwise(graph, value, node) for node in nodes for value in node.outputs]
    return any(read) and all(node.kind in VIEWS | PICKED for node in nodes)


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


def _of_no_effect(measured: Sequence[Measured], verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """Pairs blamed for shapes that do not fit, where all outputs agree: no number that was compared blames them."""
    blamed = [
        item.pair.candidate
        for item in measured
        if verdicts[item.pair.candidate].rule == "shapes-differ" and verdicts[item.pair.candidate].verdict in FOUNDS
    ]
    return {value: verdicts[value].overruled("incomparable", "of-no-effect", verdicts[value].note) for value in blamed}


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
    wrong = FOUNDS | {"inherited"}
    tainted = graph.descendants(v for v, one in verdicts.items() if one.verdict in wrong and one.rule != UNFED)
    judged = []
    for item in measured:
        judgement = verdicts[item.pair.candidate]
        accumulated = item.accumulated
        beyond = accumulated is not None and (accumulated.errors.beyond > 0 or accumulated.mismatched > 0)
        if judgement.verdict == "aligned" and beyond and item.pair.candidate in tainted:
            judgement = judgement.overruled("inherited", "inherited", judgement.note)
        judged.append(judgement)
    return judged
