"""Judge every pair: who introduces an error, who only inherits it, and what that says of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from aligner.errors import listing
from aligner.judgement.borderline import LEAST, MOST, difference_in, misquantized
from aligner.judgement.contradiction import contradicted
from aligner.judgement.same_grid import STEPS, are_twins
from aligner.judgement.tolerance import (
    RegionNumbers,
    beside_mask,
    bound,
    masked_otherwise,
    region_numbers,
    rounds_to_integers,
    unit,
)
from aligner.operations.kinds import VIEWS
from aligner.records.comparison import PairVerdict
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

_FLIPPED = 0.01
"""Share of rounded elements that may flip by one step, beside four times the share that noise flips."""
_SATURATED = 1e-3
"""Share of elements outside the quantised range from which a tensor counts as saturated."""
SATURATES = "the quantised range is too small"
CUT_BEFORE = "fed with values that the quantised range cuts off"
_READING = VIEWS | {"dequantize"}
"""Kinds that hold no range of their own: what is cut off there was cut off before."""
_QUANTIZED_RELATIVE = 0.08
"""Relative root-mean-square error that eight-bit weights and activations explain at one node …"""
_QUANTIZED_PEAKS = 3.0
"""… provided that no single element exceeds the bound more than this often."""
_FLOAT16_MAX = 65504.0
_UNDONE = 1e-3
"""Share of a local error, and of the tensor, that may be left where a node makes up for the one before it."""
_HEALED = 0.01
"""Relative error of what reads masked scores; a mask that does not hold moves a softmax by far more."""
_JUMP = 8.0
_WITHOUT_LOCAL = 1e-4
"""Where nothing can be injected: relative error from which a jump over the tensors before it is taken for a fault."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one pair, the bound it was held against, and a remark where one is due."""

    verdict: PairVerdict
    bound: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """The user's tolerance and whether it is asked for as it stands at every node (``--tolerance``).

    ``unsteady`` holds (side, node index) of what was seen to give other numbers from run to run.
    """

    atol: float
    rtol: float
    fixed: float | None = None
    unsteady: frozenset[tuple[int, int]] = frozenset()


def judge(
    graphs: tuple[Graph, Graph], measured: Sequence[Measured], rules: Rules, excused: Mapping[str, str] | None = None
) -> list[Judgement]:
    """One judgement for each pair, in order; pairs come in the candidate's execution order.

    ``excused`` maps candidate values whose own error is known to be rounding to the words that say so.
    """
    by_value = {item.pair.candidate: item for item in measured}
    relaid = graphs[0].channels != graphs[1].channels or any(
        _order(item) for item in measured if item.pair.candidate in graphs[1].inputs
    )
    verdicts: dict[str, Judgement] = {}
    for item in measured:
        numbers = region_numbers(graphs, item)
        item = beside_mask(graphs, item, numbers) if rules.fixed is None else item
        limit = bound(item, numbers) if rules.fixed is None else rules.fixed
        twins = _limit_of_twins(graphs, item, numbers) if rules.fixed is None else None
        limit = limit if twins is None else min(limit, twins)
        own = _own(graphs, item, limit, rules, by_value, quantized=numbers.quantized and twins is None)
        plain = rules.fixed is None and not numbers.quantized and not numbers.rounded
        verdicts[item.pair.candidate] = _settled(graphs, item, own) if plain else _quantized(graphs, item, own, rules)
        if excused and item.pair.candidate in excused:
            verdicts[item.pair.candidate] = Judgement("aligned", limit, excused[item.pair.candidate])
        if _turned(graphs, item) and not relaid:
            verdicts[item.pair.candidate] = Judgement("introduced", limit, _turned(graphs, item))
    if rules.fixed is None:
        verdicts |= _masked_otherwise(graphs, measured, verdicts)
        verdicts |= _only_alone(graphs[1], measured, verdicts)
    return _inherit(graphs[1], measured, verdicts | _compensated(measured, verdicts))


def _turned(graphs: tuple[Graph, Graph], item: Measured) -> str | None:
    """What to say of an output whose axes stand in another order, which nothing downstream can put right."""
    pair = item.pair
    outputs = pair.reference in graphs[0].outputs and pair.candidate in graphs[1].outputs
    order = _order(item) if outputs and pair.rule != "map" else None
    if order is None:
        return None
    return f"the output's axes stand in another order: the reference's axes {list(order)}"


def _order(item: Measured) -> tuple[int, ...] | None:
    """The axes of a pair where they put elements into another order; axes of size 1 do not."""
    axes, shape = item.pair.axes, item.reference_shape
    if axes is None or shape is None or not all(isinstance(axis, int) for axis in axes) or len(axes) != len(shape):
        return None
    moved = [axis for axis in axes if shape[axis] != 1]
    return tuple(axes) if moved != sorted(moved) else None


def _settled(graphs: tuple[Graph, Graph], item: Measured, own: Judgement) -> Judgement:
    """Where the error is near its bound: guilty if weights or settings differ, innocent if they are the same.

    So it is where the error passes what rounding explains and is too small to matter.
    """
    if own.verdict not in {"aligned", "introduced"} or item.local is None or not own.bound or own.note:
        return own
    error = item.local.errors.max_abs
    if error <= LEAST * own.bound or (error > MOST * own.bound and own.verdict != "aligned"):
        return own
    words = difference_in(graphs, item)
    if words:
        return Judgement("introduced", own.bound, f"the error is small, but {words} differ")
    if words == "" and own.verdict == "introduced":
        note = "a little more than rounding explains, and every weight and setting is the reference's"
        return Judgement("aligned", own.bound, note)
    return own


def _limit_of_twins(graphs: tuple[Graph, Graph], item: Measured, numbers: RegionNumbers) -> float | None:
    """What two kernels may differ by that compute on the same grids; None where they do not, or do not differ more."""
    if item.local is None or not numbers.stepped:
        return None
    plain = replace(numbers, stepped=False, quantized=False, step=0.0)
    limit = STEPS * numbers.step + bound(replace(item, noise=None), plain)
    return limit if item.local.errors.max_abs > limit and are_twins(graphs, item) else None


def _quantized(graphs: tuple[Graph, Graph], item: Measured, own: Judgement, rules: Rules) -> Judgement:
    """Few bits in a layer's weights excuse much; the weights themselves have to lie on their grid."""
    if own.verdict != "aligned" or rules.fixed is not None or item.local is None or not item.local.errors.max_abs:
        return own
    words = misquantized(graphs, item)
    return Judgement("introduced", own.bound, words) if words else own


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
    return item.step is None and item.saturated <= _SATURATED and item.local.errors.max_abs <= MOST * judgement.bound


def _own(
    graphs: tuple[Graph, Graph],
    item: Measured,
    limit: float,
    rules: Rules,
    by_value: Mapping[str, Measured],
    *,
    quantized: bool,
) -> Judgement:
    """What the pair's own numbers say, errors of others left aside."""
    difference = item.local if item.local is not None else item.accumulated
    regions = item.pair.reference_region, item.pair.candidate_region
    nodes = [graph.nodes[i] for graph, region in zip(graphs, regions, strict=True) for i in region.nodes]
    if difference is None:
        return _without_numbers(item, by_value)
    if any(node.kind == "random" for node in nodes) and difference.unequal:
        return Judgement("nondeterministic", limit, "computed from random numbers")
    if difference.unequal and any((side, at) in rules.unsteady for side in (0, 1) for at in regions[side].nodes):
        return Judgement("nondeterministic", limit, "gives other numbers from run to run")
    if item.local is None and item.accumulated is not None:
        return _without_local(item, limit, rules, by_value)
    if difference.mismatched and any(_too_large(by_value.get(value)) for value in item.pair.candidate_region.inputs):
        return Judgement("inherited", limit, "fed with values that float16 cannot hold")
    if difference.mismatched:
        share = difference.mismatched / max(difference.size, 1)
        return Judgement("nonfinite", limit, f"NaN or infinity on one side only, {share:.1%} of the elements")
    cut_before = any(by_value[v].saturated > _SATURATED for v in item.pair.candidate_region.inputs if v in by_value)
    if _within(item, limit, rules, quantized):
        if item.saturated > _SATURATED and cut_before and {node.kind for node in nodes[-1:]} <= _READING:
            return Judgement("inherited", limit, CUT_BEFORE)
        if item.saturated > _SATURATED:
            return Judgement("introduced", limit, f"{SATURATES}: {item.saturated:.2%} of the elements are cut off")
        return Judgement("aligned", limit)
    if cut_before:
        return Judgement("inherited", limit, CUT_BEFORE)
    last = [graphs[1].nodes[i] for i in item.pair.candidate_region.nodes]
    if rounds_to_integers(item.candidate_dtype, last) and _only_flips(item):
        return Judgement("aligned", limit, "rounded values flip by one step")
    return Judgement("introduced", limit)


def _too_large(fed: Measured | None) -> bool:
    """Whether the reference's tensor overflows in the dtype of the candidate that it is injected into."""
    if fed is None or unit(fed.candidate_dtype) != unit("float16"):
        return False
    numbers = fed.reference_statistics
    return max(abs(numbers.min or 0.0), abs(numbers.max or 0.0)) > _FLOAT16_MAX


def _without_numbers(item: Measured, by_value: Mapping[str, Measured]) -> Judgement:
    """Shapes that do not fit: introduced here unless what feeds the region did not fit either."""
    shapes = item.reference_shape, item.candidate_shape
    if None in shapes:
        return Judgement("incomparable", None, item.pair.note or "not computed on both sides for this input")
    note = item.pair.note or f"shapes {shapes[0]} and {shapes[1]} do not fit"
    before = [by_value[value] for value in item.pair.candidate_region.inputs if value in by_value]
    fresh = all(other.accumulated is not None or other.local is not None for other in before)
    return Judgement("introduced" if fresh else "incomparable", None, note)


def _within(item: Measured, limit: float, rules: Rules, quantized: bool) -> bool:
    assert item.local is not None
    error = item.local.errors.max_abs
    if rules.fixed is not None:
        return error <= rules.fixed
    matters = (rules.atol + rules.rtol) * min(1.0, item.local.peak or 1.0)
    if error <= limit or error <= matters:
        return True
    return quantized and item.local.relative <= _QUANTIZED_RELATIVE and error <= _QUANTIZED_PEAKS * limit


def _only_flips(item: Measured) -> bool:
    assert item.local is not None
    step = item.step or 1.0
    allowed = max(_FLIPPED, 4 * item.noise.share if item.noise else 0.0)
    return item.local.errors.max_abs <= 1.001 * step and item.local.unequal <= allowed * item.local.size


def _without_local(item: Measured, limit: float, rules: Rules, by_value: Mapping[str, Measured]) -> Judgement:
    """No injection: a jump of the accumulated error over everything that feeds the region; an estimate."""
    difference = item.accumulated
    assert difference is not None
    if difference.mismatched:
        before = [by_value[v].accumulated for v in item.pair.candidate_region.inputs if v in by_value]
        inherited = any(d is not None and d.mismatched for d in before)
        return Judgement("inherited" if inherited else "nonfinite", limit, "location estimated from accumulated errors")
    if rules.fixed is not None:
        return Judgement("aligned" if difference.errors.max_abs <= rules.fixed else "introduced", limit)
    floor = _WITHOUT_LOCAL if item.step is None else 0.1
    if difference.errors.beyond == 0 or difference.relative <= floor:
        return Judgement("aligned", limit)
    before = [by_value[v].accumulated for v in item.pair.candidate_region.inputs if v in by_value]
    worst = max((d.relative for d in before if d is not None), default=0.0)
    if worst > floor and difference.relative < _JUMP * worst:
        return Judgement("inherited", limit)
    return Judgement(
        "introduced" if worst <= floor else "inherited", limit, "location estimated from accumulated errors"
    )


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
            found[value] = Judgement(verdict, verdicts[value].bound, words)
    return found


def _masked_otherwise(
    graphs: tuple[Graph, Graph], measured: Sequence[Measured], verdicts: Mapping[str, Judgement]
) -> dict[str, Judgement]:
    """Scores masked by another number (−10⁴ for −∞), of which nothing is left in all that reads them."""
    readers = _readers(measured)
    found: dict[str, Judgement] = {}
    for item in reversed(measured):
        value = item.pair.candidate
        if verdicts[value].verdict not in {"introduced", "nonfinite"} or not readers.get(value):
            continue
        if masked_otherwise(graphs, item) and all(
            reader.pair.candidate in found or _agrees(reader) for reader in readers[value]
        ):
            found[value] = Judgement("aligned", verdicts[value].bound, "masked by another number, to the same effect")
    return found


def _agrees(item: Measured) -> bool:
    """Whether nothing of an error before it is to be seen in a pair, each side on its own tensors."""
    whole = item.accumulated
    return whole is not None and not whole.mismatched and whole.relative <= _HEALED


def _readers(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    readers: dict[str, list[Measured]] = {}
    for item in measured:
        for value in item.pair.candidate_region.inputs:
            readers.setdefault(value, []).append(item)
    return readers


def _compensated(measured: Sequence[Measured], verdicts: Mapping[str, Judgement]) -> dict[str, Judgement]:
    """Culprits that undo each other: a factor moved from one node into the next, as optimisers do.

    All that reads the first must itself err by as much on the reference's tensors, and be right on the candidate's own.
    """
    readers = _readers(measured)
    found: dict[str, Judgement] = {}
    for item in measured:
        value = item.pair.candidate
        undoing = _undoing(value, readers, verdicts) if verdicts[value].verdict == "introduced" else None
        if undoing:
            note = f"differs by what {listing(undoing)} undoes: together they compute the same"
            found[value] = Judgement("aligned", verdicts[value].bound, note)
            for other in undoing:
                found[other] = Judgement("aligned", verdicts[other].bound, f"undoes what {value} differs by")
    return found


def _undoing(
    value: str, readers: Mapping[str, Sequence[Measured]], verdicts: Mapping[str, Judgement]
) -> list[str] | None:
    """Who makes up for an error, on every way that it takes through nodes that only pass it on; None if one leaks."""
    found: list[str] = []
    for reader in readers.get(value, ()):
        name = reader.pair.candidate
        if verdicts[name].verdict == "introduced" and _undoes(reader):
            found.append(name)
        elif verdicts[name].verdict == "aligned" and verdicts[name].bound == 0.0:
            further = _undoing(name, readers, verdicts)
            if further is None:
                return None
            found += further
        else:
            return None
    return found or None


def _undoes(item: Measured) -> bool:
    local, whole = item.local, item.accumulated
    if local is None or whole is None or local.mismatched or whole.mismatched:
        return False
    return whole.errors.max_abs <= _UNDONE * local.errors.max_abs and whole.relative <= _UNDONE


def _inherit(graph: Graph, measured: Sequence[Measured], verdicts: Mapping[str, Judgement]) -> list[Judgement]:
    """Aligned pairs downstream of a fault whose accumulated error passes the tolerance have inherited it."""
    tainted = graph.descendants(value for value, judgement in verdicts.items() if _faulty(judgement))
    judged = []
    for item in measured:
        judgement = verdicts[item.pair.candidate]
        accumulated = item.accumulated
        beyond = accumulated is not None and (accumulated.errors.beyond > 0 or accumulated.mismatched > 0)
        if judgement.verdict == "aligned" and beyond and item.pair.candidate in tainted:
            judgement = Judgement("inherited", judgement.bound, judgement.note)
        judged.append(judgement)
    return judged


def _faulty(judgement: Judgement) -> bool:
    return judgement.verdict in {"introduced", "nonfinite", "nondeterministic", "incomparable", "inherited"}
