"""What distances from float64 say: a network that blows rounding up is no fault of either side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from aligner.judgement.outputs import AS_FAR
from aligner.records.comparison import Finding, NoiseFloor, Pair
from aligner.records.dataclass import dataclass

_LOST = 1e-3
"""Share of a tensor's largest value from which on rounding is more than a matter of last digits."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A sentence for the verdict, and the finding where the network is ill-conditioned."""

    reason: str
    finding: Finding | None = None


def nearer(reference: float, candidate: float) -> Literal["reference", "candidate", "neither"]:
    """Which side is nearer to float64."""
    if candidate > AS_FAR * reference:
        return "reference"
    return "candidate" if reference > AS_FAR * candidate else "neither"


def condition(pairs: Sequence[Pair], outputs: Sequence[Pair]) -> Condition | None:
    """Judge the floors of the outputs; None where they are near to float64, unknown, or the candidate's is farther."""
    lost = [pair for pair in outputs if pair.floor is not None and _share(pair, pair.floor.candidate) > _LOST]
    if not lost:
        return None
    worst = max(lost, key=lambda pair: _share(pair, pair.floor.candidate if pair.floor else 0.0))
    assert worst.floor is not None
    distances = f"the reference by {worst.floor.reference:.2g}, the candidate by {worst.floor.candidate:.2g}"
    if worst.floor.nearer == "reference":
        return None  # not as near: what explains it is rounding carried through the nodes, if anything
    if worst.floor.nearer == "candidate":
        return Condition(f"at output {worst.candidate.name} the candidate is the one nearer to float64: {distances}")
    first = next((pair for pair in pairs if pair.floor is not None and _lost(pair, pair.floor)), worst)
    where = first.candidate.name
    reason = (
        f"ill-conditioned from {where} on: at output {worst.candidate.name} both sides are equally far from float64, "
        f"{distances}"
    )
    finding = Finding.of(
        "ill-conditioned",
        first.candidate.node,
        "proven",
        f"{where}: rounding alone moves {_share(first, min(first.floor.reference, first.floor.candidate)):.1%} of its "
        f"largest value on both sides; at output {worst.candidate.name} {distances}"
        if first.floor is not None
        else reason,
        "nothing is wrong with the conversion: no float32 run of this network is reproducible on this input; compare "
        "what is decided from the outputs, or run both in float64",
    )
    return Condition(reason, finding)


def _share(pair: Pair, distance: float) -> float:
    numbers = pair.reference.statistics
    peak = max(abs(numbers.min or 0.0), abs(numbers.max or 0.0))
    return distance / peak if peak > 0 else 0.0


def _lost(pair: Pair, floor: NoiseFloor) -> bool:
    return _share(pair, min(floor.reference, floor.candidate)) > _LOST
