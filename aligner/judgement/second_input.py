"""What two comparisons of the same models on two inputs say together: an error that only one input shows was traced in.

The proof is the input itself: weights, settings and kernels are those of the run that agrees, and nothing but the input
is another.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from aligner.adapters.advice import advice_on
from aligner.records.comparison import Comparison, Errors, Finding, Pair
from aligner.records.dataclass import dataclass

_INNOCENT = frozenset({"aligned", "inherited"})
_NUMBER = re.compile(r"(?<![\w.])-?\d+\.\d+(?:e-?\d+)?(?![\w.])")
_FROZEN = frozenset({"trace-baked-constant", "trace-baked-branch", "trace-baked-shape", "constant-changed"})
"""What a number that only fits one input looks like from that of the other."""
_BENIGN = frozenset({"unknown", "rounding", "ill-conditioned", "pairing-suspect", "quantization-expected"})


@dataclass(frozen=True, slots=True)
class Variant:
    """How the second input differs: "values", "sign", "batch" or "size", and words for it ("other values")."""

    change: str
    words: str


def told_apart(first: Comparison, second: Comparison, variant: Variant) -> Comparison | None:
    """The comparison to report when the two inputs do not say the same; None when they do.

    Where the given input shows nothing, the report is that of the second one.
    """
    fresh = [pair for pair in second.introduced if counts(pair)]
    if not first.introduced:
        return _only_second(first, second, fresh[0], variant) if second.verdict == "diverged" and fresh else None
    vanished = _vanished(first, second, variant)
    if vanished is not None:
        finding = _finding(first, second, vanished, variant, given=True)
        return replace(first, causes=(finding, *(c for c in first.causes if c.node != finding.node)))
    computed = _computed(first, second)
    if computed is not None:
        return replace(first, causes=tuple(computed if c.node == computed.node else c for c in first.causes))
    known = {pair.candidate.name for pair in first.introduced}
    other = next((pair for pair in fresh if pair.candidate.name not in known and _was_right(first, pair)), None)
    if other is None:
        return None
    return replace(first, causes=(*first.causes, _finding(second, first, other, variant, given=False)))


def _only_second(first: Comparison, second: Comparison, culprit: Pair, variant: Variant) -> Comparison:
    known = [c for c in second.causes if c.node in _nodes(culprit) and c.explained is not None and c.id not in _BENIGN]
    causes: Sequence[Finding] = second.causes
    if not known or _traced_in(known[0], culprit, _partner(first, culprit), variant):
        finding = _finding(second, first, culprit, variant, given=False, known=known[0] if known else None)
        causes = (finding, *(cause for cause in second.causes if cause.node != finding.node))
    where = f"{culprit.candidate.name} ({culprit.candidate.op})"
    return replace(
        second,
        reason=f"on a second input ({variant.words}) the two sides first diverge at {where}; on the first they agree",
        causes=tuple(causes),
        notes=tuple(dict.fromkeys((f"this is the report of a second input: {variant.words}", *second.notes))),
        command=first.command,
    )


def _finding(
    wrong: Comparison, right: Comparison, culprit: Pair, variant: Variant, *, given: bool, known: Finding | None = None
) -> Finding:
    """``wrong`` shows the culprit and ``right`` does not; ``given``: the user's own input is the wrong one."""
    node = known.node if known else _nodes(culprit)[-1]
    inputs = ("the given input", f"a second input ({variant.words})")
    bad, good = inputs if given else inputs[::-1]
    identifier = _identifier(wrong, right, variant)
    errors = _error(culprit), _error(_partner(right, culprit))
    before = culprit.note or "the shapes do not fit" if errors[0] is None else f"its own error is {errors[0]:.2g}"
    after = "nothing" if errors[1] is None else f"{errors[1]:.2g}"
    text = f"{node} is wrong on one input alone: on {bad} {before}, on {good} {after}; {_EVIDENCE[identifier]}"
    if known is not None and identifier != "trace-baked-branch":
        text = f"{known.evidence}; on {good} the same node is right"
    if culprit.reference.source and culprit.reference.source not in text:
        text += f" [{culprit.reference.source}]"
    advice = _ADVICE[identifier]
    if identifier == "trace-baked-branch":
        advice += advice_on("exported-choice", [side.framework for side in (wrong.reference, wrong.candidate)])
    share = 1.0 if errors[0] is None else 1 - (errors[1] or 0.0) / max(errors[0], 1e-300)
    return Finding.of(identifier, node, "proven", text, advice, round(max(share, 0.0), 6))


def _identifier(wrong: Comparison, right: Comparison, variant: Variant) -> str:
    if variant.change not in {"values", "sign"}:
        return "trace-baked-shape"
    other_weights = any(one.id == "trace-baked-branch" and one.explained is not None for one in wrong.causes)
    return "trace-baked-branch" if other_weights or _ran(wrong) != _ran(right) else "trace-baked-constant"


_EVIDENCE = {
    "trace-baked-constant": "a number that depends on the input stands in it as a constant",
    "trace-baked-branch": "the reference runs other operations on the two inputs, the candidate the same ones",
    "trace-baked-shape": "a size of the input that it was traced with stands in it as a constant",
}
_ADVICE = {
    "trace-baked-constant": "keep the value in the graph: no .item(), float(), int() or numpy on tensors while tracing",
    "trace-baked-branch": "export the choice itself: a trace keeps one arm of every if",
    "trace-baked-shape": "export with dynamic axes, and take sizes from x.shape inside the model",
}


def _ran(comparison: Comparison) -> Counter[tuple[str, str | None]]:
    """What the reference executed: the operations and module paths of everything it computed."""
    sides = [pair.reference for pair in comparison.pairs if pair.reference.shape is not None]
    sides += [one.side for one in comparison.unpaired_reference if one.reason != "not computed"]
    return Counter((side.op, side.scope) for side in {side.name: side for side in sides}.values())


def _computed(first: Comparison, second: Comparison) -> Finding | None:
    """A constant that never fits, because the reference's own number is another on each input."""
    for cause in first.causes:
        if cause.id != "constant-changed" or cause.explained is None:
            continue
        other = next((c for c in second.causes if c.id == cause.id and c.node == cause.node), None)
        if other is not None and other.explained is not None and _say_other_numbers(cause, other):
            text = f"{cause.evidence}; on a second input the reference computes with another number again"
            return replace(cause, id="trace-baked-constant", evidence=text, suggestion=_ADVICE["trace-baked-constant"])
    return None


def _say_other_numbers(cause: Finding, other: Finding) -> bool:
    """Whether two findings of one kind differ in a number; one that was solved for is never exactly the same."""
    left, right = ([float(n) for n in _NUMBER.findall(f.evidence.partition(";")[0])] for f in (cause, other))
    return len(left) == len(right) and not all(
        math.isclose(a, b, rel_tol=0.01) for a, b in zip(left, right, strict=True)
    )


def _vanished(first: Comparison, second: Comparison, variant: Variant) -> Pair | None:
    """The given input's first divergence, when the second does not show it and nothing else has been proven of it."""
    culprit = first.introduced[0]
    partner = _partner(second, culprit)
    if not counts(culprit) or partner is None or partner.verdict not in _INNOCENT:
        return None
    proven = [c for c in first.causes if c.node in _nodes(culprit) and c.explained is not None]
    return None if proven and not _traced_in(proven[0], culprit, partner, variant) else culprit


def _traced_in(known: Finding, wrong: Pair, right: Pair | None, variant: Variant) -> bool:
    """Whether a proven cause says how the two sides differ where tracing says why."""
    return known.id in _FROZEN or (right is not None and _size_stayed(wrong, right, variant))


def _size_stayed(wrong: Pair, right: Pair, variant: Variant) -> bool:
    """Whether, of two sides that had one shape, one follows the input along an axis where the other keeps its size.

    A setting that rounds sizes (ceil_mode) sets them one apart and is no trace; the number of samples is never rounded.
    """
    shapes = [side.shape for pair in (right, wrong) for side in (pair.reference, pair.candidate)]
    if any(shape is None for shape in shapes) or len({len(shape or ()) for shape in shapes}) > 1:
        return False
    was, was_found, now, found = (shape or () for shape in shapes)
    order = right.axes or tuple(range(len(was)))
    rounded = 0 if variant.change == "batch" else 1
    return any(
        abs(now[own] - found[axis]) > rounded and (now[own] == was[own]) != (found[axis] == was_found[axis])
        for axis, own in enumerate(order)
    )


def _was_right(comparison: Comparison, pair: Pair) -> bool:
    partner = _partner(comparison, pair)
    return partner is not None and partner.verdict in _INNOCENT


def _partner(comparison: Comparison, pair: Pair) -> Pair | None:
    """The same pair on the other input."""
    return next((other for other in comparison.pairs if other.candidate.name == pair.candidate.name), None)


def counts(pair: Pair) -> bool:
    """Whether the error says something of the model: made-up numbers may well leave a calibrated range."""
    return pair.verdict_rule != "saturates"


def _nodes(pair: Pair) -> tuple[str, ...]:
    return (*pair.candidate_nodes, pair.candidate.node)


def _error(pair: Pair | None) -> float | None:
    errors: Errors | None = None if pair is None else pair.local or pair.accumulated
    return None if errors is None else errors.max_abs
