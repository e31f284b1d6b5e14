"""weigh(): which stored weight answers which; models run only where their graphs, or folded constants, ask for it."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from aligner.alignment.engine import align
from aligner.alignment.fingerprint import Fingerprint, fingerprint
from aligner.alignment.weight_audit import audit, unfolded
from aligner.api.fed_values import fed_pairs, unfed_pairs
from aligner.api.given_inputs import input_items
from aligner.api.matching import MatchOptions, feed, opened, read_static
from aligner.api.side import OpenSide
from aligner.errors import AlignerError, ComparisonError
from aligner.inputs import PreparedFeeds
from aligner.records import progress
from aligner.records.alignment import Alignment
from aligner.records.comparison import WeightTally
from aligner.records.weight import WeightAudit, WeightMatch

_MOST = 64 << 20
"""Numbers of both sides up to which ``compare`` looks at all weights unasked."""
Sides = tuple[OpenSide, OpenSide]


def weigh(
    reference: object, candidate: object, inputs: Any = None, *, options: MatchOptions | None = None
) -> WeightAudit:
    """Audit the weights of two models.

    Live modules run once, fed ``inputs`` or random numbers, to be read at all; any model runs once if weights stay open
    that constant folding may have turned into others. Raises AlignerError where a model cannot be read.
    """
    options = options or MatchOptions()
    with opened(reference, candidate, options) as sides:
        static = [read_static(side) for side in sides]
        fed = feed(sides, inputs, options) if input_items(inputs) or not all(static) else None
        for side in sides:
            if not side.graph.weights:
                raise ComparisonError(
                    f"{side.path} holds no weights",
                    found=f"a {side.session.framework} graph of {len(side.graph.nodes)} nodes",
                    hint="give a model that stores its weights; a recording keeps tensors only",
                )
        notes: list[str] = []
        matches = _audit(sides, inputs, fed, options, notes)
        return WeightAudit(sides[0].summary(), sides[1].summary(), matches, tuple(notes))


def _audit(
    sides: Sides, inputs: Any, fed: PreparedFeeds | None, options: MatchOptions, notes: list[str]
) -> tuple[WeightMatch, ...]:
    progress.enter("", "pairing weights")
    left, right = sides
    given = unfed_pairs(left.graph, right.graph) if fed is None else fed_pairs(fed, left, right)
    alignment = align(left.graph, right.graph, inputs=given, method=options.align_by)
    matches = audit(left.graph, right.graph, alignment)
    computed = [unfolded(side.graph) for side in sides]
    if all(match.status == "matched" for match in matches) or not any(computed):
        return matches
    try:
        if fed is None:
            feed(sides, inputs, options)
        constants = [_constants(side, values) for side, values in zip(sides, computed, strict=True)]
    except AlignerError as error:
        notes.append(f"what constant folding made of weights was not looked at: {error.what}")
        return matches
    progress.enter("", "pairing weights")
    return audit(left.graph, right.graph, alignment, reference_constants=constants[0], candidate_constants=constants[1])


def tally(sides: Sides, alignment: Alignment) -> WeightTally | None:
    """What became of the weights of two models that have been paired; None above a size that takes long to read."""
    size = sum(math.prod(weight.shape) for side in sides for weight in side.graph.weights.values())
    if not 0 < size <= _MOST:
        return None
    progress.enter("", "pairing weights")
    left, right = (side.graph for side in sides)
    matches = audit(left, right, alignment)
    if any(match.status == "missing" for match in matches):
        constants = [_constants(side, unfolded(side.graph)) for side in sides]
        matches = audit(left, right, alignment, reference_constants=constants[0], candidate_constants=constants[1])
    names: dict[str, list[str]] = {"matched": [], "changed": [], "missing": [], "extra": []}
    for match in matches:
        stored = match.reference or match.candidate
        names[match.status].append(stored.name if stored is not None else "")
    return WeightTally(len(names["matched"]), tuple(names["changed"]), tuple(names["missing"]), len(names["extra"]))


def _constants(side: OpenSide, values: Collection[str]) -> dict[str, Fingerprint]:
    """Fingerprints of what the model computes from weights alone."""
    if not values:
        return {}
    found = {}
    for tensor in side.run(values, phase="looking at constants"):
        print_ = fingerprint(tensor.real())
        if print_ is not None:
            found[tensor.value] = print_
    return found
