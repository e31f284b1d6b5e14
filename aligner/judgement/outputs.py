"""How each output of the reference stands against the contract, before and apart from what the pairs say."""

from __future__ import annotations

from typing import Literal

from aligner.records.comparison import NoiseFloor
from aligner.records.dataclass import dataclass

State = Literal["within", "rounding", "beyond", "unshown", "unanswered", "incomparable"]
AS_FAR = 4.0
"""Distances from float64 within this factor of each other count as equal."""


@dataclass(frozen=True, slots=True)
class OutputFacts:
    """What was measured of one output: names, the error, the share of elements beyond the contract.

    ``summed`` is what rounding explains if no node makes another's error larger, ``floor`` both sides' distances from
    float64, ``carried`` how far the reference's own nodes move the output when each is off by its bound; None where
    they are unknown. ``declared``: a side is coarser than float32 by intent, so that no float32 floor speaks for it;
    ``lost``: the error is as large as the output itself, or not finite, which no precision explains unasked.
    """

    name: str
    candidate: str | None
    error: float | None
    beyond: float = 0.0
    summed: float = 0.0
    floor: NoiseFloor | None = None
    carried: float | None = None
    declared: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """``margin``: the error over what rounding explains."""

    name: str
    candidate: str | None
    state: State
    error: float = 0.0
    margin: float = 0.0


def standing(facts: OutputFacts) -> Standing:
    """Within the contract, or beyond it by rounding, or beyond both."""
    if facts.candidate is None:
        return Standing(facts.name, None, "unanswered")
    if facts.error is None:
        return Standing(facts.name, facts.candidate, "incomparable")
    if not facts.beyond:
        return Standing(facts.name, facts.candidate, "within", facts.error)
    explained = _explained(facts)
    margin = facts.error / explained if explained > 0 else float("inf")
    known = facts.floor is not None or facts.carried is not None
    excused = margin <= 1 or (facts.declared and not facts.lost)
    state: State = "rounding" if excused else "beyond" if known else "unshown"
    return Standing(facts.name, facts.candidate, state, facts.error, margin)


def _explained(facts: OutputFacts) -> float:
    """The largest error that anything measured here puts down to rounding."""
    limits = [facts.summed, facts.carried or 0.0]
    if facts.floor is not None and facts.floor.candidate <= AS_FAR * facts.floor.reference:
        limits.append(facts.floor.candidate + facts.floor.reference)
    return max(limits)
