"""The words and colours of verdicts, and how a tensor is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from aligner.records.comparison import Comparison, Errors, Finding, Pair, Side, Unpaired
from aligner.report.numbers import multiple, number, percent

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


def largest(errors: Errors | None) -> float | None:
    """The largest difference, None where nothing was measured."""
    return None if errors is None else errors.max_abs


def times(pair: Pair, floor: float | None) -> str | None:
    """How many times a floor a pair is off by itself, or where that was not measured, in all."""
    return multiple(largest(pair.local or pair.accumulated), floor)


def floors(pair: Pair) -> Iterator[tuple[str, float, str]]:
    """What its error is held against, where it is known: label, number, and how far the error is beyond."""
    for name, floor in (("bound", pair.bound), ("noise", pair.noise)):
        if floor is not None:
            beyond = times(pair, floor)
            yield name, floor, f" (max abs is {beyond})" if beyond else ""


def how_much(pair: Pair) -> str:
    """How far off a pair is, in words."""
    error = pair.local or pair.accumulated
    if error is None:
        return "not measured"
    said = "fed with the reference's own tensors it is off by" if pair.local else "off by"
    beyond = times(pair, pair.bound)
    return f"{said} {number(error.max_abs)}" + (f", {beyond} what rounding explains" if beyond else "")


def runs_on(framework: str, runtime: str) -> str:
    """A model's runtime, after its framework where the name does not tell it."""
    return runtime if framework.lower() in runtime.lower() else ", ".join(filter(None, (framework, runtime)))


def by_reason(items: Iterable[Unpaired]) -> list[tuple[str, list[Unpaired]]]:
    """Tensors without a partner by the reason, the most frequent first."""
    groups: dict[str, list[Unpaired]] = {}
    for item in sorted(items, key=lambda item: item.reason):
        groups.setdefault(item.reason, []).append(item)
    return sorted(groups.items(), key=lambda entry: -len(entry[1]))


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
