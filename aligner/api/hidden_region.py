"""Which part of a model is wrong only where nobody looks into it, asked of the runtimes that can tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aligner.adapters.base import HiddenFault, LocatesHidden
from aligner.errors import AlignerError, listing
from aligner.execution.side import OpenSide
from aligner.records import progress
from aligner.records.comparison import Finding, Pair
from aligner.records.dataclass import dataclass
from aligner.records.measurement import Measured

_WRONG = 1e-3
"""Relative error from which compiled code does not only round otherwise: as for whole outputs."""


@dataclass(frozen=True, slots=True)
class HiddenRegion:
    """``place`` is that of its pair, None where none shows what it computes; ``pair`` how this one is to be told."""

    place: int | None
    pair: Pair | None
    finding: Finding


def find_hidden_region(
    sides: Sequence[OpenSide], measured: Sequence[Measured], pairs: Sequence[Pair], node: str
) -> HiddenRegion | None:
    """The part of the candidate, else of the reference; ``node`` is named where no pair shows it."""
    for number in (1, 0):
        fault = _asked(sides[number])
        if fault is None:
            continue
        place = next((k for k, item in enumerate(measured) if _value(item, number) == fault.value), None)
        if place is None:
            return HiddenRegion(None, None, _finding(fault, number, node))
        note = f"right when observed, off by {fault.error:.2g} of its peak when compiled alone on the same inputs"
        pair = replace(pairs[place], verdict="introduced", note=note)
        return HiddenRegion(place, pair, _finding(fault, number, pairs[place].candidate.node))
    return None


def _asked(side: OpenSide) -> HiddenFault | None:
    if not isinstance(side.session, LocatesHidden):
        return None
    progress.enter(side.role, "looking into compiled code", side.path)
    try:
        return side.session.hidden_fault(side.feeds, _WRONG)
    except AlignerError:
        return None


def _value(item: Measured, number: int) -> str:
    return (item.pair.reference, item.pair.candidate)[number]


def _finding(fault: HiddenFault, number: int, node: str) -> Finding:
    several = len(fault.names) > 1
    whose = "" if number else "the reference's "
    return Finding.of(
        identifier="fusion-or-kernel",
        node=node,
        evidence_class="proven",
        evidence=(
            f"{fault.by} turns {whose}{listing(fault.names)} into code that is off by {fault.error:.2g} of its peak "
            "when compiled alone, on the inputs that the model has there"
            f"{'; none of its shorter ends is' if several else ''}"
        ),
        suggestion=f"keep {'these operations' if several else 'this operation'} from {fault.by}, and report it",
    )
