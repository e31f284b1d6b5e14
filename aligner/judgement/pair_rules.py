"""The rules by which one pair is judged, in order: the first that has an opinion decides."""

from __future__ import annotations

from aligner.judgement.borderline import LEAST, MOST
from aligner.judgement.pair_facts import PairFacts
from aligner.judgement.rule import Rule
from aligner.operations.kinds import MAY_DRAW, VIEWS
from aligner.regions.inner_tensors import SATURATED

_JUMP = 8.0
"""Errors grow from node to node by the factor of its gain; 8 is past that of a normalised layer, an estimate at
best."""
_WITHOUT_LOCAL = 1e-4
"""Where nothing can be injected: relative error from which a jump over the tensors before it is taken for a fault."""
_READING = VIEWS | {"dequantize"}
"""Kinds that hold no range of their own: what is cut off there was cut off before."""
_ESTIMATED = "location estimated from accumulated errors"
_Said = tuple[str, str, float | None] | None


def _turned(facts: PairFacts) -> _Said:
    if facts.turned is None:
        return None
    return "introduced", f"the output's axes stand in another order: the reference's axes {list(facts.turned)}", None


def _nearness(facts: PairFacts) -> _Said:
    return None if facts.nearness is None else ("aligned", facts.nearness, facts.margin)


def _not_computed(facts: PairFacts) -> _Said:
    if facts.difference is not None or None not in (facts.item.reference_shape, facts.item.candidate_shape):
        return None
    return "incomparable", facts.item.pair.note or "not computed on both sides for this input", None


def _shapes(facts: PairFacts) -> _Said:
    if facts.difference is not None:
        return None
    shapes = facts.item.reference_shape, facts.item.candidate_shape
    why = facts.item.pair.note or f"shapes {shapes[0]} and {shapes[1]} do not fit"
    return "introduced" if facts.fresh else "incomparable", why, None


def _random(facts: PairFacts) -> _Said:
    if facts.difference is None or not facts.difference.unequal or not all(_draws(facts, side) for side in (0, 1)):
        return None
    return "nondeterministic", "computed from random numbers", None


def _random_reference(facts: PairFacts) -> _Said:
    if facts.difference is None or not facts.difference.unequal or not _draws(facts, 0):
        return None
    return "nondeterministic", "computed from random numbers, on the reference's side alone", None


def _draws(facts: PairFacts, side: int) -> bool:
    """Whether a side's region is seen to draw, or has no other purpose."""
    return any(
        node.kind == "random" or (node.kind in MAY_DRAW and facts.is_unsteady(side, node)) for node in facts.nodes[side]
    )


def _random_alone(facts: PairFacts) -> _Said:
    if facts.difference is None or not facts.difference.unequal:
        return None
    drawn = facts.drawn
    if drawn is None or facts.reference_varies:
        return None
    why = f"{drawn.name} ({drawn.op}) gives other numbers from run to run, and nothing of the reference does"
    return "introduced", why, None


def _unsteady(facts: PairFacts) -> _Said:
    if facts.difference is None or not facts.difference.unequal or not facts.unsteady:
        return None
    return "nondeterministic", "gives other numbers from run to run", None


def _accumulated_nonfinite(facts: PairFacts) -> _Said:
    whole = facts.item.accumulated
    if facts.item.local is not None or whole is None or not whole.mismatched:
        return None
    inherited = any(item.accumulated is not None and item.accumulated.mismatched for item in facts.before)
    return "inherited" if inherited else "nonfinite", _ESTIMATED, None


def _accumulated(facts: PairFacts) -> _Said:
    """No injection: a jump of the accumulated error over everything that feeds the region."""
    whole = facts.item.accumulated
    if facts.item.local is not None or whole is None:
        return None
    if facts.fixed:
        return "aligned" if whole.errors.max_abs <= facts.limit else "introduced", "", facts.margin
    floor = _WITHOUT_LOCAL if facts.item.step is None else 0.1
    if whole.errors.beyond == 0 or whole.relative <= floor:
        return "aligned", "", whole.relative / floor
    worst = max((item.accumulated.relative for item in facts.before if item.accumulated is not None), default=0.0)
    if worst > floor and whole.relative < _JUMP * worst:
        return "inherited", "", whole.relative / worst
    return "introduced" if worst <= floor else "inherited", _ESTIMATED, whole.relative / floor


def _fed_too_large(facts: PairFacts) -> _Said:
    local, dtype = facts.item.local, facts.fed_too_large
    if local is None or dtype is None or (facts.within and not local.mismatched):
        return None
    return "inherited", f"fed with values that {dtype} cannot hold", None


def _nonfinite(facts: PairFacts) -> _Said:
    local = facts.item.local
    if local is None or not local.mismatched:
        return None
    share = local.mismatched / max(local.size, 1)
    return "nonfinite", f"NaN or infinity on one side only, {share:.1%} of the elements", None


def _cut_before(facts: PairFacts) -> _Said:
    reads = facts.clips and {node.kind for node in facts.nodes[1][-1:]} <= _READING
    if facts.local is None or not (facts.cut_before or (reads and facts.fed_cut)):
        return None
    if facts.within and not reads:
        return None
    return "inherited", "fed with values that the quantised range cuts off", None


def _clips_unseen(facts: PairFacts) -> _Said:
    if not facts.within or facts.item.saturated <= SATURATED or facts.clips:
        return None
    why = f"{facts.item.saturated:.2%} of the elements are cut off, which is not what the outputs differ by"
    return "aligned", why, facts.margin


def _saturates(facts: PairFacts) -> _Said:
    if not facts.within or facts.item.saturated <= SATURATED:
        return None
    why = f"the quantised range is too small: {facts.item.saturated:.2%} of the elements are cut off"
    return "introduced", why, facts.item.saturated / SATURATED


def _off_grid(facts: PairFacts) -> _Said:
    local = facts.local
    if facts.fixed or local is None or not local.errors.max_abs or not (facts.within or facts.flips):
        return None
    if facts.plain and (facts.immaterial or not facts.numbers.storage):
        return None
    if (facts.flips and not facts.within) or not facts.misquantized:
        return None
    return "introduced", facts.misquantized, None


def _on_another_grid(facts: PairFacts) -> _Said:
    if facts.local is None or not facts.local.unequal or not facts.within or not facts.another_grid:
        return None
    return "introduced", facts.another_grid, facts.margin


def _too_wide(facts: PairFacts) -> _Said:
    steps = facts.too_wide
    if steps is None or not facts.within:
        return None
    why = f"coded in steps of {steps[0]:.4g}, where its numbers need {steps[1]:.2g}: a range of other numbers"
    return "introduced", why, facts.margin


def _in_doubt(facts: PairFacts) -> bool:
    """Whether the error is so near to its bound that rounding and a small fault look alike."""
    if not facts.plain or facts.local is None or not facts.limit or (facts.flips and not facts.within):
        return False
    error = facts.local.errors.max_abs
    return error > LEAST * facts.limit and (facts.within or error <= MOST * facts.limit)


def _settings_differ(facts: PairFacts) -> _Said:
    if not _in_doubt(facts) or not facts.differing:
        return None
    return "introduced", f"the error is small, but {facts.differing} differ", facts.margin


def _settings_same(facts: PairFacts) -> _Said:
    if not _in_doubt(facts) or facts.within or facts.differing != "":
        return None
    why = "a little more than rounding explains, and every weight and setting is the reference's"
    return "aligned", why, facts.margin


def _scaled(facts: PairFacts) -> _Said:
    if facts.local is None or not (facts.gain > 1 or facts.gain_is_written):
        return None
    words = "larger" if facts.local.gain > 0 else "smaller"
    return "introduced", f"{abs(facts.local.gain):.2%} {words} as a whole, which is no rounding", facts.gain


def _bound(facts: PairFacts) -> _Said:
    return ("aligned", "", facts.margin) if facts.in_bound else None


def _immaterial(facts: PairFacts) -> _Said:
    return ("aligned", "", facts.margin) if facts.immaterial else None


def _few_bits(facts: PairFacts) -> _Said:
    return ("aligned", "", facts.margin) if facts.in_few_bits else None


def _flips(facts: PairFacts) -> _Said:
    return ("aligned", "rounded values flip by one step", facts.margin) if facts.flips else None


def _ties(facts: PairFacts) -> _Said:
    if not facts.item.tied or facts.differing:
        return None
    return "nondeterministic", "which of equals comes first is the runtime's choice, and the two sides differ", None


def _coded_body(facts: PairFacts) -> _Said:
    if facts.local is None or facts.local.mismatched or not facts.coded_body:
        return None
    return "incomparable", "its body holds weights in few bits, and what rounding them leaves is not shown there", None


def _beyond(facts: PairFacts) -> _Said:
    return "introduced", "", facts.margin


PAIR_RULES: tuple[Rule[PairFacts], ...] = (
    Rule(
        "output-axes-reordered", "an output's axes stand in another order, which nothing after it puts right", _turned
    ),
    Rule(
        "node-as-near-to-float64", "computed in float64, the candidate's node is as near as the reference's", _nearness
    ),
    Rule("not-computed", "a side did not compute the tensor for this input", _not_computed),
    Rule(
        "shapes-differ",
        "the shapes do not fit: `introduced` where what feeds the region does, else `incomparable`",
        _shapes,
    ),
    Rule(
        "random-in-candidate",
        "the candidate's region gives other numbers from run to run, the reference never",
        _random_alone,
    ),
    Rule("random-numbers", "both regions draw random numbers, and the two sides differ", _random),
    Rule(
        "random-in-reference",
        "the reference's region draws random numbers, and the two sides differ",
        _random_reference,
    ),
    Rule("unsteady", "the region gives other numbers from run to run, and the two sides differ", _unsteady),
    Rule(
        "accumulated-nonfinite",
        "without injection: NaN or infinity on one side only; `inherited` where what feeds the region has them too",
        _accumulated_nonfinite,
    ),
    Rule(
        "accumulated-jump",
        "without injection: the accumulated error jumps over that of everything that feeds the region; an estimate",
        _accumulated,
    ),
    Rule("float16-overflow-before", "fed with numbers that float16, or an integer, cannot hold", _fed_too_large),
    Rule("nonfinite", "NaN or infinity on one side only", _nonfinite),
    Rule("cut-off-before", "what feeds the region was cut off by a quantised range", _cut_before),
    Rule(
        "cut-off-unseen",
        "the quantised range cuts off at most half of the elements, and the outputs differ by something else: with all "
        "that is cut off put into the other side, it comes less than half of the way to the quantised one's outputs",
        _clips_unseen,
    ),
    Rule("saturates", "more than 0.1 % of the elements lie outside the quantised range", _saturates),
    Rule(
        "weights-off-grid",
        "weights in few bits are off by more than a step (root mean square), or in half precision by a factor that is "
        "more than one rounding",
        _off_grid,
    ),
    Rule(
        "grids-differ",
        "the same nodes make the tensor in eight bits, a code of which is half a step off, where most grids are equal",
        _on_another_grid,
    ),
    Rule(
        "range-too-wide",
        "a quantised range leaves the tensor less than four codes, and costs more than eight bits explain",
        _too_wide,
    ),
    Rule("settings-differ", "the error is near its bound, and weights or settings differ", _settings_differ),
    Rule("settings-same", "the error is just beyond its bound, and no weight or setting differs", _settings_same),
    Rule(
        "scaled-as-a-whole",
        "in half precision, the tensor is larger as a whole than roundings leave it; there or in few bits, as a factor "
        "makes it that stands in one model alone",
        _scaled,
    ),
    Rule("within-bound", "rounding explains the local error", _bound),
    Rule("immaterial", "the local error is below (atol + rtol) · min(1, peak)", _immaterial),
    Rule("few-bits", "a quantised region is off by no more than eight bits explain", _few_bits),
    Rule("flips", "rounded numbers flip by one step, where rounding of what they are made from flips them", _flips),
    Rule("ties", "places in an order differ, the numbers that stand there and the settings do not", _ties),
    Rule("coded-body", "the candidate alone has a loop or branch with weights in few bits inside", _coded_body),
    Rule("beyond-bound", "the local error is more than rounding explains", _beyond),
)
"""In order of precedence."""
