"""Outputs of the reference that go on where the candidate has ended: a last step that was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aligner.execution.side import OpenSide
from aligner.records.alignment import Sketch
from aligner.records.comparison import Pair
from aligner.records.measurement import Measured

_APART = 1e-3
"""Of the largest magnitude: what tells the numbers of two outputs from each other, beyond what the pair is apart."""
_FOLD = 10.0


def continued(sides: tuple[OpenSide, OpenSide], measured: Sequence[Measured], pairs: Sequence[Pair]) -> dict[int, Pair]:
    """By their place, the pairs of candidate outputs that answer an inner tensor of the reference, as they then are.

    Only where both sides have as many outputs, the reference's in that position answers nothing, and its numbers are
    other ones: a trailing reshape, transposition or copy changes none.
    """
    left, right = sides
    outputs = [list(dict.fromkeys(side.graph.outputs)) for side in sides]
    if len(outputs[0]) != len(outputs[1]) or left.profile is None or right.profile is None:
        return {}
    answered = {item.pair.reference for item in measured}
    places = {item.pair.candidate: place for place, item in enumerate(measured)}
    found = {}
    for wanted, given in zip(*outputs, strict=True):
        place = places.get(given)
        if place is None or wanted in answered or measured[place].pair.reference in outputs[0]:
            continue
        one, other = left.profile.sketches.get(wanted), right.profile.sketches.get(given)
        if pairs[place].verdict != "aligned" or one is None or other is None:
            continue
        if _differ(one, other, measured[place]):
            name = left.graph.values[wanted].name if wanted in left.graph.values else wanted
            note = f"the reference goes on from here to its output {name}, to which nothing answers"
            found[place] = replace(pairs[place], verdict="introduced", note=note)
    return found


def _differ(one: Sketch, other: Sketch, item: Measured) -> bool:
    if one.size != other.size or not one.finite or not other.finite:
        return False
    peak = max(abs(one.min), abs(one.max), abs(other.min), abs(other.max))
    apart = item.accumulated.errors.max_abs if item.accumulated is not None else 0.0
    gaps = (one.mean - other.mean, one.rms - other.rms, one.min - other.min, one.max - other.max)
    return max(map(abs, gaps)) > _APART * peak + _FOLD * max(apart, item.step or 0.0)
