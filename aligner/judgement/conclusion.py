"""What all the pairs say together: aligned, diverged or inconclusive, and one sentence why.

The rules stand in order; the first that has an opinion decides, and ``docs/verdicts.md`` is made from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from aligner.errors import listing
from aligner.judgement.founded import FOUNDS, UNFED
from aligner.judgement.rule import Rule, opinions
from aligner.judgement.whole_facts import Frozen, WholeFacts
from aligner.records.comparison import Pair, Verdict
from aligner.records.dataclass import dataclass
from aligner.records.opinion import Opinion

_LARGE = 0.01
"""Share of an output's largest value from which its error is told beside that value."""
LEAST_COVERAGE = 0.5
"""Share of the candidate's pairable tensors below which silence proves nothing."""
_Said = tuple[str, str, float | None] | None


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The verdict of the whole, its sentence, the pairs that introduce error, upstream first, and the rule."""

    verdict: Verdict
    reason: str
    introduced: tuple[Pair, ...]
    rule: str
    opinions: tuple[Opinion, ...] = ()


def conclude(facts: WholeFacts) -> Conclusion:
    """The first opinion decides."""
    found = opinions(WHOLE_RULES if facts.level == "local" else CONTRACT_RULES, facts)
    first = found[0]
    guilty = facts.introduced if first.rule in _NAMING else ()
    return Conclusion(cast(Verdict, first.verdict), first.why, guilty, first.rule, tuple(found))


_NAMING = frozenset({"saturated-by-random-input", "node-introduces-error", "contract-broken"})


def _saturated(facts: WholeFacts) -> _Said:
    guilty = facts.introduced
    ranges = {"saturates", "range-too-wide"}
    if not guilty or not facts.random_input or not all(pair.verdict_rule in ranges for pair in guilty):
        return None
    why = (
        f"random input drives {len(guilty)} quantised tensors out of their calibrated ranges, or fills a corner of "
        "them, which a real input may not; repeat with --input"
    )
    return "inconclusive", why, None


def _introduced(facts: WholeFacts) -> _Said:
    if not facts.introduced:
        return None
    first = facts.introduced[0]
    where = f"{first.candidate.name} ({first.candidate.op})"
    many = f"; {len(facts.introduced)} tensors introduce error" if len(facts.introduced) > 1 else ""
    what = "values turn non-finite" if first.verdict == "nonfinite" else "the two sides first diverge"
    return "diverged", f"{what} at {where}{many}", None


def _exchanged(facts: WholeFacts) -> _Said:
    if not facts.exchanged:
        return None
    name, other = facts.exchanged[0]
    many = f", and so do {len(facts.exchanged) - 1} more" if len(facts.exchanged) > 1 else ""
    why = f"output {name} of the candidate holds other numbers than the reference's: those are in {other}{many}"
    return "diverged", why, None


def _random(facts: WholeFacts) -> _Said:
    random = [pair for pair in facts.pairs if pair.verdict == "nondeterministic"]
    if not random:
        return None
    where = f"{random[0].reference.name} / {random[0].candidate.name}"
    drawn = all(pair.verdict_rule in {"random-numbers", "ties"} for pair in random)
    known, after = facts.frozen, "with the reference's noise put in their place"
    if all(pair.verdict_rule == "ties" for pair in random):
        return _tied(where, known)
    kind = "other" if random[0].verdict_rule == "unsteady" else "random"
    if known is None:
        told = f"{after} everything after it aligns"
    elif known.agrees and drawn and facts.level == "local" and not facts.constant_input:
        told = f"{after} the outputs agree to {known.worst.errors.max_abs:.2g}"
        return "aligned", f"{kind} numbers enter at {where} on both sides alike; {told}", None
    elif not known.alike:
        told = "and the two sides draw from different distributions"
    else:
        told = f"{after} everything after it aligns, and the outputs agree to {known.worst.errors.max_abs:.2g}"
    why = f"{kind} numbers enter at {where}: the model disagrees with itself from run to run; {told}"
    return "inconclusive", why, None


def _tied(where: str, known: Frozen | None) -> _Said:
    """Which of equals was chosen, where nothing else is open."""
    why = f"at {where} the two sides choose differently among equals; with the reference's choice"
    if known is None or known.worst.mismatched:
        return "inconclusive", f"{why} everything after it aligns", None
    told = f"{why} in its place the outputs agree to {known.worst.errors.max_abs:.2g}"
    return ("aligned" if known.agrees else "inconclusive"), told, None


def _beyond(facts: WholeFacts) -> _Said:
    wrong = [one for one in facts.standings if one.state == "beyond"]
    if not wrong:
        return None
    worst = max(wrong, key=lambda one: one.margin)
    where = "" if facts.interval is None else f"; {facts.interval[0]} still agrees, {facts.interval[1]} does not"
    what = f"output {worst.name} is off by {worst.error:.2g}, more than rounding explains"
    why = f"{what}, and no node errs by itself{where}"
    return "diverged", why, worst.margin


def _coded_body(facts: WholeFacts) -> _Said:
    found = next((pair for pair in facts.pairs if pair.verdict_rule == "coded-body"), None)
    return None if found is None else ("inconclusive", f"{found.candidate.name}: {found.note}", None)


def _incomparable(facts: WholeFacts) -> _Said:
    found = next((p for p in facts.outputs if p.verdict == "incomparable" and p.verdict_rule != "coded-body"), None)
    if found is None:
        return None
    return "inconclusive", f"output {found.candidate.name}: {found.note or 'not comparable'}", None


def _unfounded(facts: WholeFacts) -> _Said:
    """Rules before this one have an opinion wherever a pair is guilty, random or incomparable at an output."""
    found = next((pair for pair in facts.pairs if pair.verdict == "inherited" and pair.verdict_rule != UNFED), None)
    if found is None or any(pair.verdict in FOUNDS for pair in facts.pairs):
        return None
    why = f"{found.candidate.name} has an error from above, and no pair above it is seen to introduce one"
    return "inconclusive", why, None


def _unfilled(facts: WholeFacts) -> _Said:
    if facts.unfilled is None:
        return None
    known = facts.unfilled
    more = f", nor those of {known.more} more" if known.more else ""
    why = (
        f"the numbers at {known.where} fill {known.steps:.2g} of the 255 steps of their range{more}: the outputs are "
        f"off by {_worst(facts):.2g}{_share(facts.outputs)}, and by {known.left:.0%} of it with the numbers that were "
        "rounded so. Either the range is wrong, or the input is none of those that it was made for; repeat with --input"
    )
    return "inconclusive", why, None


def _flipped(facts: WholeFacts) -> _Said:
    if facts.flipped is None:
        return None
    known, noise = facts.flipped, "quantisation noise" if facts.quantized else "rounding"
    between = "" if known.margin is None else f", between numbers that lie at most {known.margin:.2g} apart"
    why = (
        f"no node introduces an error; at {known.where} {known.count} of {known.size} choices fall otherwise{between}: "
        f"{noise} moves what they are made by up to {known.noise:.2g}. The outputs are off by {_worst(facts):.2g}"
        f"{_share(facts.outputs)}; with the reference's choices put in, by {known.left:.2g}"
    )
    return "aligned", why, None


def _nothing_paired(facts: WholeFacts) -> _Said:
    if facts.pairs:
        return None
    return "inconclusive", "no tensor of one side could be paired with one of the other; give pairs with --map", None


def _no_output(facts: WholeFacts) -> _Said:
    if facts.outputs:
        return None
    them = "it" if facts.missing_outputs == 1 else "them"
    why = (
        "no output of the candidate answers one of the reference's, so that nothing final was compared; what was "
        f"paired before {them} aligns; pair the outputs with --map"
    )
    return "inconclusive", why, None


def _unrecorded(facts: WholeFacts) -> _Said:
    if not facts.unrecorded or not (facts.missing_outputs or any(one.state == "unanswered" for one in facts.standings)):
        return None
    why = f"the dump lacks outputs ({listing(facts.unrecorded)}): what was recorded aligns; dump the outputs too"
    return "inconclusive", why, None


def _colliding(facts: WholeFacts) -> _Said:
    if not facts.colliding:
        return None
    why = (
        "tensors of the dump go by one name, or by one that several values could have, and are not what the model "
        f"gives there: {listing(facts.colliding)}; keep those of one run, under names of their own, or pair them with "
        "--map"
    )
    return "inconclusive", why, None


def _unanswered(facts: WholeFacts) -> _Said:
    open_ = [one for one in facts.standings if one.state in {"unanswered", "incomparable"}]
    if not open_:
        return None
    first = open_[0]
    what = "nothing answers it" if first.state == "unanswered" else f"{first.candidate} cannot be laid on it"
    many = f" (and {len(open_) - 1} more)" if len(open_) > 1 else ""
    why = f"output {first.name} of the reference was not compared{many}: {what}; pair it with --map"
    return "inconclusive", why, None


def _unshown(facts: WholeFacts) -> _Said:
    found = next((one for one in facts.standings if one.state == "unshown"), None)
    if found is None:
        return None
    why = (
        f"output {found.name} is off by {found.error:.2g}: no node errs by itself, and nothing here can show whether "
        "rounding grows to that"
    )
    return "inconclusive", why, found.margin


def _coverage(facts: WholeFacts) -> _Said:
    if facts.coverage.candidate >= LEAST_COVERAGE:
        return None
    why = (
        f"only {facts.coverage.candidate:.0%} of the candidate's tensors could be paired; what was paired aligns, give "
        "more pairs with --map"
    )
    return "inconclusive", why, None


def _constant(facts: WholeFacts) -> _Said:
    if not facts.constant_input:
        return None
    return (
        "inconclusive",
        "the input is constant, which hides channel order and padding; repeat with a real input",
        None,
    )


def _condition(facts: WholeFacts) -> _Said:
    return None if facts.condition is None else ("aligned", facts.condition, None)


def _grown(facts: WholeFacts) -> _Said:
    beyond = [pair for pair in facts.outputs if pair.accumulated and pair.accumulated.beyond > 0]
    if not beyond:
        return None
    noise = "quantisation noise" if facts.quantized else "rounding"
    first = next(pair for pair in facts.pairs if pair.accumulated and pair.accumulated.beyond > 0)
    why = (
        f"no node introduces an error; {noise} passes the tolerance from {first.candidate.name} on and grows to "
        f"{_worst(facts):.2g} at the outputs{_share(beyond)}"
    )
    return "aligned", why, None


def _agrees(facts: WholeFacts) -> _Said:
    return "aligned", f"every pair agrees; largest difference of the outputs {_worst(facts):.2g}", None


def _worst(facts: WholeFacts) -> float:
    return max((pair.accumulated.max_abs for pair in facts.outputs if pair.accumulated), default=0.0)


def _share(outputs: Sequence[Pair]) -> str:
    """How large the worst difference is against the output's own size, once that is no longer small."""
    shares = []
    for pair in outputs:
        numbers = pair.reference.statistics
        peak = max(abs(numbers.min or 0.0), abs(numbers.max or 0.0))
        if pair.accumulated and peak > 0:
            shares.append(pair.accumulated.max_abs / peak)
    worst = max(shares, default=0.0)
    return f", {worst:.0%} of the largest value there" if worst >= _LARGE else ""


WHOLE_RULES: tuple[Rule[WholeFacts], ...] = (
    Rule(
        "saturated-by-random-input",
        "every culprit is a quantised range that made-up numbers leave, or hardly fill, which a real input may not",
        _saturated,
    ),
    Rule("node-introduces-error", "a pair is `introduced` or `nonfinite`", _introduced),
    Rule(
        "outputs-exchanged",
        "an output goes by the name of another: what is read by its name is not what the reference gives",
        _exchanged,
    ),
    Rule(
        "random-numbers",
        "numbers that differ from run to run enter, or choices among equals: `aligned` where both sides draw them, "
        "from one distribution as far as they show, and all outputs keep the contract with the reference's in place; "
        "else `inconclusive`",
        _random,
    ),
    Rule("coded-body", "a loop that holds weights in few bits is off by more than other rounding", _coded_body),
    Rule("output-incomparable", "an output's pair cannot be compared", _incomparable),
    Rule(
        "ranges-unfilled",
        "an output breaks the contract, no node is guilty, and numbers fill less than 32 of the 255 steps of their "
        "range, which makes the greater part of the error: the model that hands on the numbers before that rounding is "
        "off by less than half as much",
        _unfilled,
    ),
    Rule(
        "choices-flip",
        "an output breaks the contract, as discrete choices (an order, a class, a comparison) fall otherwise, whose "
        "node is right and reads nothing that is off by more than rounding explains: with the reference's choices put "
        "in, the outputs are off by less than half of it, and by no more than rounding explains",
        _flipped,
    ),
    Rule(
        "output-beyond-rounding",
        "an output breaks the contract, no node is guilty, and rounding is shown not to explain it: the report gives "
        "the interval, the last pair that agrees and the first that does not",
        _beyond,
    ),
    Rule("inherited-from-nothing", "a pair inherits an error that no pair introduces", _unfounded),
    Rule("nothing-paired", "no tensor has a partner", _nothing_paired),
    Rule("output-not-recorded", "a side is a dump that lacks outputs", _unrecorded),
    Rule("no-output-compared", "no output of the candidate answers one of the reference's", _no_output),
    Rule("output-not-compared", "an output of the reference has no answer, or one of another shape", _unanswered),
    Rule(
        "output-unexplained",
        "an output breaks the contract and neither float64 nor rounding carried through the reference can be run; in "
        "half precision or few bits: it is off by as much as it is large",
        _unshown,
    ),
    Rule("tensors-collide", "tensors of a dump go by one name, and nothing tells which of them is meant", _colliding),
    Rule("low-coverage", "less than half of the candidate's tensors are paired", _coverage),
    Rule("constant-input", "no input varies", _constant),
    Rule("as-near-to-float64", "an output breaks the contract, and float64 tells that it is rounding", _condition),
    Rule("rounding-grows", "an output breaks the contract, and it is shown that rounding explains it", _grown),
    Rule("all-agree", "none of the above", _agrees),
)
"""In order of precedence."""


def _broken(facts: WholeFacts) -> _Said:
    pairs = facts.outputs if facts.level == "outputs" else facts.pairs
    wrong = [pair for pair in pairs if pair.accumulated is not None and pair.accumulated.beyond > 0]
    wrong += [pair for pair in facts.outputs if pair.verdict == "nonfinite" and pair not in wrong]
    if not wrong:
        return None
    worst = max(wrong, key=lambda pair: pair.accumulated.max_abs if pair.accumulated else 0.0)
    error = (
        "" if worst.accumulated is None else f", worst {worst.candidate.name}, off by {worst.accumulated.max_abs:.2g}"
    )
    what = "outputs" if facts.level == "outputs" else "pairs"
    return "diverged", f"{len(wrong)} of {len(pairs)} {what} break the contract of --atol and --rtol{error}", None


def _kept(facts: WholeFacts) -> _Said:
    what = "output" if facts.level == "outputs" else "pair"
    return (
        "aligned",
        f"every {what} keeps the contract of --atol and --rtol; largest difference {_worst(facts):.2g}",
        None,
    )


def _rule(name: str) -> Rule[WholeFacts]:
    return next(rule for rule in WHOLE_RULES if rule.id == name)


CONTRACT_RULES: tuple[Rule[WholeFacts], ...] = (
    _rule("outputs-exchanged"),
    _rule("random-numbers"),
    _rule("output-incomparable"),
    Rule("contract-broken", "an output (with `--level layers` any pair) is beyond `--atol` and `--rtol`", _broken),
    *map(_rule, ("nothing-paired", "no-output-compared", "output-not-compared", "constant-input")),
    Rule("contract-kept", "none of the above", _kept),
)
"""With ``--level outputs`` and ``--level layers``, in order of precedence."""
