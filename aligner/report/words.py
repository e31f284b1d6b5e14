"""The words and colours of verdicts, and how a tensor is called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aligner.records.comparison import Comparison, Finding, Pair, Side
from aligner.report.numbers import percent

MARKS = {
    "aligned": "ok",
    "introduced": "→ introduced",
    "inherited": "  inherited",
    "nonfinite": "→ NaN/inf",
    "nondeterministic": "  random",
    "incomparable": "? incomparable",
}
"""What stands in a row; an arrow points at every node that errs by itself, with or without colour."""

STYLES = {
    "aligned": "green",
    "introduced": "red",
    "inherited": "yellow",
    "nonfinite": "red",
    "nondeterministic": "magenta",
    "incomparable": "cyan",
    "diverged": "red",
    "inconclusive": "yellow",
}

COUNTED = {
    "aligned": "ok",
    "introduced": "introduced",
    "inherited": "inherited",
    "nonfinite": "NaN/inf",
    "nondeterministic": "random",
    "incomparable": "incomparable",
}


def how_sure(cause: Finding) -> str:
    """What kind of evidence a cause has, and the share of the error that goes with it."""
    if cause.id == "unknown":
        return "nothing that was tried explains it"
    if cause.explained is None:
        return cause.sure if cause.sure == "proven" else "suspected: nothing was recomputed that shows it"
    return f"{cause.sure}: explains {percent(cause.explained)} of the local error"


def place(side: Side) -> str:
    """Where in the model: the module path where there is one, else the node, else the tensor."""
    return side.scope or side.node or side.name


def label(side: Side) -> str:
    """The tensor's own name, with its module path where the name does not tell it."""
    name = side.name if side.index is None else f"{side.name} #{side.index}"
    return f"{name} ({side.scope})" if side.scope and not _tells(side.name, side.scope) else name


def brief(side: Side) -> str:
    """The most telling short name: the module path, or the node where the tensor is its first output, or the name."""
    if side.index is not None:
        return f"{side.name} #{side.index}"
    if side.scope and not _tells(side.name, side.scope):
        return side.scope
    first_output = side.node and re.fullmatch(re.escape(side.node) + r"\D*0", side.name)
    return side.node if first_output else side.name


def _tells(name: str, scope: str) -> bool:
    known = set(re.split(r"[/.:\s]+", name))
    return all(part in known for part in scope.split(".")[-2:])


def operation(pair: Pair) -> str:
    """The candidate's op; "conv2d → MatMul" where the two sides do not do the same kind of thing."""
    ours, theirs = pair.reference, pair.candidate
    return theirs.op if ours.kind == theirs.kind or not ours.op else f"{ours.op} → {theirs.op}"


def other_culprits(comparison: Comparison) -> list[Pair]:
    """The introduced pairs after the first divergence."""
    first = position(comparison.introduced, comparison.first_divergence)
    return [pair for place, pair in enumerate(comparison.introduced) if place != first]


def position(pairs: Sequence[Pair], wanted: Pair | None) -> int | None:
    """Where a pair stands: the record itself, else the first of its names; NaN would break equality."""
    if wanted is None:
        return None
    places = [place for place, pair in enumerate(pairs) if pair is wanted]
    places = places or [place for place, pair in enumerate(pairs) if _names(pair) == _names(wanted)]
    return places[0] if places else None


def _names(pair: Pair) -> tuple[str, ...]:
    return (pair.reference.name, pair.reference.node, pair.candidate.name, pair.candidate.node)


def tally(pairs: Sequence[Pair]) -> str:
    """How many pairs got each verdict: "101 ok, 12 introduced, 30 inherited"."""
    verdicts = [pair.verdict for pair in pairs]
    return ", ".join(f"{verdicts.count(name):,} {word}" for name, word in COUNTED.items() if name in verdicts)  # type: ignore[arg-type]
