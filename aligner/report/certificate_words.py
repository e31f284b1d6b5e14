"""A certificate in sentences."""

from __future__ import annotations

from aligner.errors import listing
from aligner.records.certificate import Certificate, CulpritEffect
from aligner.records.comparison import Comparison
from aligner.report.numbers import number


def certificate_lines(comparison: Comparison) -> list[str]:
    """One line for a comparison that diverged, nothing for others: their outputs say it."""
    made = comparison.certificate
    if made is None or comparison.verdict != "diverged":
        return []
    if made.after is None:
        return [_between(made)] if made.interval else []
    return [f"{_replaced(made)}: {_sufficient(made)}{_necessary(made.culprits)}"]


def floor_words(made: Certificate) -> str:
    """Both sides' distances from float64 at the worst output; "" where they are unknown."""
    if made.floor is None:
        return ""
    return f"reference {number(made.floor[0])}, candidate {number(made.floor[1])} from float64"


def _between(made: Certificate) -> str:
    return f"{made.interval[0]} still agrees, {made.interval[1]} does not, and no node errs by itself"


def _replaced(made: Certificate) -> str:
    names = [effect.name for effect in made.culprits]
    whose = listing(names) if len(names) < 3 else f"all {len(names)} culprits"
    before, after = (0.0 if one is None else one for one in (made.before, made.after))
    return f"with the reference's tensors at {whose} the outputs' error goes from {number(before)} to {number(after)}"


def _sufficient(made: Certificate) -> str:
    return "sufficient" if made.sufficient else "not sufficient, something else is wrong too"


def _necessary(culprits: tuple[CulpritEffect, ...]) -> str:
    needed = [one for one in culprits if one.necessary]
    idle = [one.name for one in culprits if one.necessary is False]
    if idle:
        return f"; not necessary, as the outputs keep within tolerance or rounding with it: {listing(idle)}"
    return ", and necessary" if needed and len(needed) == len(culprits) else ""
