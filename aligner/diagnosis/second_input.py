"""What two comparisons of the same models on two inputs say together: an error that only one input shows was traced in.

The proof is the input itself: weights, settings and kernels are those of the run that agrees, and nothing but the input
is another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aligner.diagnosis.verdicts import SATURATES
from aligner.records.comparison import Comparison, Errors, Finding, Pair

_GUILTY = frozenset({"introduced", "nonfinite"})
_INNOCENT = frozenset({"aligned", "inherited"})
_CONFIDENCE = 0.96
_BENIGN = frozenset({"unknown", "rounding", "ill-conditioned", "pairing-suspect", "quantization-expected"})


@dataclass(frozen=True, slots=True)
class Variant:
    """How the second input differs: "values", "batch" or "size", and words for it ("other values")."""

    change: str
    words: str


def told_apart(first: Comparison, second: Comparison, variant: Variant) -> Comparison | None:
    """The comparison to report when the two inputs do not say the same; None when they do.

    Where the given input shows nothing, the report is that of the second one.
    """
    fresh = [pair for pair in second.introduced if _counts(pair)]
    if not first.introduced:
        return _only_second(first, second, fresh[0], variant) if second.verdict == "diverged" and fresh else None
    vanished = _vanished(first, second)
    if vanished is not None:
        finding = _finding(first, second, vanished, variant, given=True)
        return replace(first, causes=(finding, *(c for c in first.causes if c.node != finding.node)))
    known = {pair.candidate.name for pair in first.introduced}
    other = next((pair for pair in fresh if pair.candidate.name not in known and _was_right(first, pair)), None)
    if other is None:
        return None
    return replace(first, causes=(*first.causes, _finding(second, first, other, variant, given=False)))


def _only_second(first: Comparison, second: Comparison, culprit: Pair, variant: Variant) -> Comparison:
    known = [c for c in second.causes if c.node in _nodes(culprit) and c.explained is not None and c.id not in _BENIGN]
    causes: Sequence[Finding] = second.causes
    if not known or known[0].id.startswith("trace-"):
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
    inputs = ("the given input", f"a second one ({variant.words})")
    bad, good = inputs if given else inputs[::-1]
    identifier = _identifier(wrong, right, variant, known)
    errors = _error(culprit), _error(_partner(right, culprit))
    before = f"{errors[0]:.2g}" if errors[0] is not None else culprit.note or "shapes that do not fit"
    after = f"{errors[1]:.2g}" if errors[1] is not None else "nothing"
    text = f"{node} is right on {good} and wrong on {bad}: its own error is {before} there and {after} here"
    if known is not None:
        text = f"{known.evidence}; on {good} it is right"
    elif _EVIDENCE[identifier]:
        text += f"; {_EVIDENCE[identifier]}"
    if culprit.reference.source and culprit.reference.source not in text:
        text += f" [{culprit.reference.source}]"
    share = 1.0 if errors[0] is None else 1 - (errors[1] or 0.0) / max(errors[0], 1e-300)
    return Finding(identifier, node, _CONFIDENCE, text, round(max(share, 0.0), 6), _ADVICE[identifier])


def _identifier(wrong: Comparison, right: Comparison, variant: Variant, known: Finding | None) -> str:
    if variant.change == "values":
        if _ran(wrong) != _ran(right):
            return "trace-baked-branch"
        return known.id if known else "trace-baked-constant"
    return "trace-baked-shape"


_EVIDENCE = {
    "trace-baked-constant": "a number that depends on the input stands in it as a constant",
    "trace-baked-branch": "the reference runs other operations on the two inputs, the candidate the same ones",
    "trace-baked-shape": "a size of the input that it was traced with stands in it as a constant",
}
_ADVICE = {
    "trace-baked-constant": "keep the value in the graph: no .item(), float(), int() or numpy on tensors while tracing",
    "trace-baked-branch": "export with torch.jit.script, torch.cond or torch.where: a trace keeps one arm of every if",
    "trace-baked-shape": "export with dynamic axes, and take sizes from x.shape inside the model",
}


def _ran(comparison: Comparison) -> Counter[tuple[str, str | None]]:
    """What the reference executed: the operations and module paths of everything it computed."""
    sides = [pair.reference for pair in comparison.pairs if pair.reference.shape is not None]
    sides += [one.side for one in comparison.unpaired_reference if one.reason != "not computed"]
    return Counter((side.op, side.scope) for side in {side.name: side for side in sides}.values())


def _vanished(first: Comparison, second: Comparison) -> Pair | None:
    """The given input's first divergence, when the second does not show it and nothing else has been proven of it."""
    culprit = first.introduced[0]
    partner = _partner(second, culprit)
    if not _counts(culprit) or partner is None or partner.verdict not in _INNOCENT:
        return None
    proven = [c for c in first.causes if c.node in _nodes(culprit) and c.explained is not None]
    return None if proven and not proven[0].id.startswith("trace-") else culprit


def _was_right(comparison: Comparison, pair: Pair) -> bool:
    partner = _partner(comparison, pair)
    return partner is not None and partner.verdict in _INNOCENT


def _partner(comparison: Comparison, pair: Pair) -> Pair | None:
    """The same pair on the other input."""
    return next((other for other in comparison.pairs if other.candidate.name == pair.candidate.name), None)


def _counts(pair: Pair) -> bool:
    """Whether the error says something of the model: made-up numbers may well leave a calibrated range."""
    return not (pair.note or "").startswith(SATURATES)


def _nodes(pair: Pair) -> tuple[str, ...]:
    return (*pair.candidate_nodes, pair.candidate.node)


def _error(pair: Pair | None) -> float | None:
    errors: Errors | None = None if pair is None else pair.local or pair.accumulated
    return None if errors is None else errors.max_abs
