"""weigh(): which stored weight answers which; models run only where their graphs, or folded constants, ask for it."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aligner.alignment.weight_audit import audit, unfolded
from aligner.api.checkpoint_weights import concerns, weigh_checkpoints
from aligner.api.given_inputs import read_items
from aligner.api.matching import aligned, feed, opened, read_static
from aligner.api.options import CompareOptions
from aligner.api.weight_places import Misplaced, misplaced, same_outputs
from aligner.errors import AlignerError, ComparisonError, listing
from aligner.execution.side import OpenSide, Sides
from aligner.inputs import PreparedFeeds
from aligner.parameters.fingerprint import Fingerprint, fingerprint
from aligner.records import progress
from aligner.records.alignment import Alignment
from aligner.records.comparison import WeightTally
from aligner.records.weight import WeightAudit, WeightMatch

_MOST = 64 << 20
"""Numbers of both sides up to which ``compare`` looks at all weights unasked."""


def weigh(
    reference: object, candidate: object, inputs: Any = None, *, options: CompareOptions | None = None
) -> WeightAudit:
    """Audit the weights of two models; a side may be safetensors, in a folder too, or GGUF: nothing is run then.

    Live modules run once, fed ``inputs`` or random numbers, to be read at all; any model runs once if weights stay open
    that constant folding may have turned into others, or reach their nodes in another order. Raises AlignerError where
    a model cannot be read.
    """
    options = options or CompareOptions()
    if concerns(reference, candidate):
        return weigh_checkpoints(reference, candidate, inputs, options)
    inputs = read_items(inputs)
    with opened(reference, candidate, options) as sides:
        static = [read_static(side) for side in sides]
        fed = feed(sides, inputs, options) if inputs or not all(static) else None
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
    sides: Sides, inputs: Any, fed: PreparedFeeds | None, options: CompareOptions, notes: list[str]
) -> tuple[WeightMatch, ...]:
    left, right = sides
    alignment = aligned(sides, fed, options, sketched=False)
    progress.enter("", "pairing weights")
    matches = audit(left.graph, right.graph, alignment)
    computed = [unfolded(side.graph) for side in sides]
    if any(match.status != "matched" for match in matches) and any(computed):
        try:
            fed = fed or feed(sides, inputs, options)
            matches = _with_constants(sides, alignment, computed)
        except AlignerError as error:
            notes.append(f"what constant folding made of weights was not looked at: {error.what}")
    moved = misplaced((left.graph, right.graph), alignment, matches)
    if not moved:
        return matches
    try:
        fed = fed or feed(sides, inputs, options)
        if same_outputs(sides, alignment):
            notes.append(f"in another order, and both models compute the same from one input: {_told(matches, moved)}")
            return matches
        moved = {place: one for place, one in moved.items() if not one.flattening} or moved
        notes.append(f"the reference's numbers in an order that the graph does not undo: {_told(matches, moved)}")
    except AlignerError as error:
        told = _told(matches, moved)
        notes.append(f"in another order, and whether the graph undoes it could not be tried: {told}; {error.what}")
    return _marked(matches, moved)


def _told(matches: Sequence[WeightMatch], moved: Mapping[int, Misplaced]) -> str:
    """Names and orders, each stored weight once, however many of the reference's went into it."""
    told: dict[object, str] = {}
    for place, one in moved.items():
        told.setdefault(matches[place].candidate, f"{_name(matches[place])} ({one.words})")
    return listing(told.values())


def _with_constants(sides: Sides, alignment: Alignment, computed: Sequence[Collection[str]]) -> tuple[WeightMatch, ...]:
    """The audit once a run has shown what constant folding would make of weights."""
    shown = [_constants(side, values) for side, values in zip(sides, computed, strict=True)]
    progress.enter("", "pairing weights")
    left, right = sides
    return audit(left.graph, right.graph, alignment, reference_constants=shown[0], candidate_constants=shown[1])


def _marked(matches: Sequence[WeightMatch], moved: Mapping[int, Misplaced]) -> tuple[WeightMatch, ...]:
    """The matches, those that stand in another order as changed."""
    marked = list(matches)
    for place, one in moved.items():
        marked[place] = replace(
            marked[place],
            status="changed",
            transforms=one.transforms,
            axes=one.axes,
            relative=one.relative,
            correlation=one.correlation,
        )
    return tuple(marked)


def _name(match: WeightMatch) -> str:
    stored = match.reference or match.candidate
    return stored.name if stored is not None else ""


def tally(sides: Sides, alignment: Alignment, suspects: Collection[str] = ()) -> WeightTally | None:
    """What became of the weights of two models that have been paired; None above a size that takes long to read.

    ``suspects`` are ids of the candidate's weights in culprits: among those, another order is a change.
    """
    size = sum(math.prod(weight.shape) for side in sides for weight in side.graph.weights.values())
    if not 0 < size <= _MOST:
        return None
    progress.enter("", "pairing weights")
    left, right = (side.graph for side in sides)
    matches = audit(left, right, alignment)
    computed = [unfolded(side.graph) for side in sides]
    if any(match.status == "missing" for match in matches) and any(computed):
        matches = _with_constants(sides, alignment, computed)
    matches = _marked(matches, misplaced((left, right), alignment, matches, suspects))
    names: dict[str, list[str]] = {"matched": [], "changed": [], "missing": [], "extra": []}
    for match in matches:
        names[match.status].append(_name(match))
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
