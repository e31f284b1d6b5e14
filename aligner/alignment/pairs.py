"""From a finished matching to pairs: axis orders, forms, confirmation by sketches, and reasons for what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aligner.alignment.answered import answered, observed, unread
from aligner.alignment.axis_flow import AxisFlow, axis_flow
from aligner.alignment.compatibility import agree, same_order
from aligner.alignment.forms import PairedForms, paired_forms
from aligner.alignment.layout import axes_between, channel_labels, squeezed
from aligner.alignment.matching import Evidence, Matching
from aligner.alignment.regions import region
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import FITTING, SOURCES
from aligner.records.alignment import Alignment, PairedValues, Region, Sketch

LEAST_CONFIDENCE = 0.35
"""Below this a pair is not made: a wrong pair is worse than an unpaired tensor."""

SUSPECT = "pairing suspect"
_CLEARLY = 0.05
"""Relative difference of sketches from which healing is suspicious; less may be quantisation."""
_CERTAIN = frozenset({"map", "input"})


def assemble(matching: Matching) -> Alignment:
    """Pairs in the candidate's execution order, and the reason of every value without one."""
    labels = channel_labels(matching.reference), channel_labels(matching.candidate)
    flow = axis_flow(matching, labels)
    pairs = [pair for pair in _pairs(matching, labels, flow) if pair.confidence >= LEAST_CONFIDENCE]
    pairs += _inserted(matching, pairs, labels, flow)
    pairs += _outputs_left(matching, pairs, labels)
    place = _execution_place(matching.candidate)
    pairs.sort(key=lambda pair: place.get(pair.candidate, -1))
    pairs, healed = _without_suspects(matching, _with_regions(matching, pairs))
    reasons = [
        _reasons(skeleton, {getattr(pair, side) for pair in pairs})
        for skeleton, side in ((matching.reference, "reference"), (matching.candidate, "candidate"))
    ]
    for pair in healed:
        reasons[1][pair.candidate] = SUSPECT
    return Alignment(
        pairs=tuple(pairs),
        unpaired_reference=reasons[0],
        unpaired_candidate=reasons[1],
        answered=answered(matching, pairs),
        unmeant=tuple(sorted(flow.refuted, key=lambda value: place.get(value, -1))),
    )


def _inserted(
    matching: Matching, pairs: list[PairedValues], labels: tuple[dict[str, str], dict[str, str]], flow: AxisFlow
) -> Iterator[PairedValues]:
    """What a node that the candidate alone has makes of a paired tensor: it answers the same one."""
    paired = {pair.candidate for pair in pairs}
    for reference, candidate in matching.second.inserted:
        if candidate in paired:
            continue
        axes = flow.axes_of(reference, candidate)
        forms = PairedForms(reference, candidate, known=axes is not None, axes=axes)
        pair = _pair(matching, forms, Evidence("inserted", 0.9), labels)
        if pair is not None:
            yield replace(pair, rule="inserted")


def _outputs_left(
    matching: Matching, pairs: list[PairedValues], labels: tuple[dict[str, str], dict[str, str]]
) -> list[PairedValues]:
    """An output of the candidate answers an output of the reference even when something before it already does.

    That is how an operation added at the end (a clamp, a scale) is seen at all.
    """
    left = dict.fromkeys(matching.reference.graph.outputs)
    right = dict.fromkeys(matching.candidate.graph.outputs)
    answered = {pair.reference for pair in pairs if pair.candidate in right}
    paired = {pair.candidate for pair in pairs}
    open_left = [value for value in left if value not in answered]
    open_right = [value for value in right if value not in paired and value not in matching.candidate.constants]
    found = []
    for value in open_right:
        size = matching.candidate.size(value)
        options = [other for other in open_left if matching.reference.size(other) == size and size is not None]
        rivals = [other for other in open_right if matching.candidate.size(other) == size]
        if len(options) != 1 or len(rivals) != 1 or len(left) != len(right):
            continue
        shapes = matching.reference.shape(options[0]), matching.candidate.shape(value)
        if shapes[0] is None or shapes[1] is None:
            continue
        names = labels[0].get(options[0]), labels[1].get(value)
        comparable, axes = axes_between(shapes[0], shapes[1], names)
        if comparable:
            found.append(PairedValues(options[0], value, "output", 0.7, axes))
    return found


def _without_suspects(matching: Matching, pairs: list[PairedValues]) -> tuple[list[PairedValues], list[PairedValues]]:
    """Drop pairs whose tensors differ while those before and all those after agree: a fault does not heal.

    One and the same computation on both sides stays paired; what it does differently may well be absorbed later on.
    Shapes that do not fit heal least of all: one side has split its tensor into blocks for a while. Two outputs stay
    paired where something before the candidate's answers the reference's already: what was put between is handed over,
    whatever becomes of it further on.
    """
    readers: dict[str, list[PairedValues]] = {}
    for pair in pairs:
        for value in pair.candidate_region.inputs:
            readers.setdefault(value, []).append(pair)
    agreement = {pair.candidate: agree(*_sketches(matching, pair)) for pair in pairs}
    before = Counter(pair.reference for pair in pairs)
    healed = {pair.candidate: agreement[pair.candidate] and not _reordered(matching, pair) for pair in pairs}
    suspects = {
        pair.candidate
        for pair in pairs
        if pair.rule not in _CERTAIN
        and pair.note
        and _is_fitted_behind(matching, pair, readers.get(pair.candidate, ()))
    } | {
        pair.candidate
        for pair in pairs
        if pair.rule not in _CERTAIN
        and not (before[pair.reference] > 1 and _are_outputs(matching, pair))
        and (pair.note or agreement[pair.candidate] is False)
        and not agree(*_sketches(matching, pair), within=_CLEARLY)
        and readers.get(pair.candidate)
        and all(healed[reader.candidate] for reader in readers[pair.candidate])
        and not any(agreement.get(value) is False for value in pair.candidate_region.inputs)
        and not _computed_alike(matching, pair)
    }
    if not suspects:
        return pairs, []
    kept = [pair for pair in pairs if pair.candidate not in suspects]
    return _with_regions(matching, kept), [pair for pair in pairs if pair.candidate in suspects]


def _are_outputs(matching: Matching, pair: PairedValues) -> bool:
    graphs = matching.reference.graph, matching.candidate.graph
    return pair.rule == "output" and pair.reference in graphs[0].outputs and pair.candidate in graphs[1].outputs


def _is_fitted_behind(matching: Matching, pair: PairedValues, readers: Sequence[PairedValues]) -> bool:
    """Whether one side cuts or pads a tensor, and whatever is computed from it has the other side's shape.

    A convolution that crops what it gives, and one with a slice behind it: what lies between answers nothing.
    """
    sides = (matching.reference, pair.reference), (matching.candidate, pair.candidate)
    kinds = [{node.kind for node in side.graph.nodes if value in node.inputs} for side, value in sides]
    fitted = [bool(found) and found <= FITTING for found in kinds]
    return bool(readers) and fitted[0] != fitted[1] and not any(reader.note for reader in readers)


def _reordered(matching: Matching, pair: PairedValues) -> bool:
    """Whether two tensors with the same numbers hold them in different places."""
    left, right = _sketches(matching, pair)
    return left is not None and right is not None and left.shape == right.shape and same_order(left, right) is False


def _computed_alike(matching: Matching, pair: PairedValues) -> bool:
    """Whether both regions consist of the same kinds of node, with no weights that could be those of another place."""
    if pair.reference_region.weights or pair.candidate_region.weights:
        return False
    kinds = [
        sorted(skeleton.by_index[index].kind for index in region.nodes if not skeleton.moves(skeleton.by_index[index]))
        for skeleton, region in (
            (matching.reference, pair.reference_region),
            (matching.candidate, pair.candidate_region),
        )
    ]
    return kinds[0] == kinds[1]


def _with_regions(matching: Matching, pairs: list[PairedValues]) -> list[PairedValues]:
    paired = {pair.reference for pair in pairs}, {pair.candidate for pair in pairs}
    found = [
        replace(
            pair,
            reference_region=region(matching.reference, pair.reference, paired[0]),
            candidate_region=region(matching.candidate, pair.candidate, paired[1]),
        )
        for pair in pairs
    ]
    answered = {pair.candidate: pair.reference for pair in found}
    found = [_beyond(pair) if _goes_on(pair, answered) else pair for pair in found]
    if matching.candidate.flows or not matching.reference.flows:
        return found
    partner = {pair.reference: pair.candidate for pair in pairs}
    return [replace(pair, candidate_region=_borrowed(pair, partner)) for pair in found]


def _goes_on(pair: PairedValues, answered: Mapping[str, str]) -> bool:
    """Whether an inserted node's region starts from another tensor that answers the same one of the reference's."""
    starts = pair.candidate_region.inputs
    return pair.rule == "inserted" and bool(starts) and all(answered.get(value) == pair.reference for value in starts)


def _beyond(pair: PairedValues) -> PairedValues:
    """The pair with the region that the reference has there: none."""
    return replace(pair, reference_region=Region((), (), (pair.reference,)))


def _borrowed(pair: PairedValues, partner: Mapping[str, str]) -> Region:
    """What a recorded tensor was computed from, as the model on the other side says."""
    fed = [partner[value] for value in pair.reference_region.inputs if value in partner]
    return replace(pair.candidate_region, inputs=tuple(fed))


def _sketches(matching: Matching, pair: PairedValues) -> tuple[Sketch | None, Sketch | None]:
    return matching.reference.sketches.get(pair.reference), matching.candidate.sketches.get(pair.candidate)


def _execution_place(skeleton: Skeleton) -> dict[str, int]:
    place = dict.fromkeys(skeleton.graph.inputs, -1)
    for node in skeleton.graph.nodes:
        for value in node.outputs:
            place.setdefault(value, node.index)
    return place


def _pairs(matching: Matching, labels: tuple[dict[str, str], dict[str, str]], flow: AxisFlow) -> Iterator[PairedValues]:
    for reference, (candidate, evidence) in matching.roots.items():
        made = [
            _pair(matching, forms, evidence, labels) for forms in paired_forms(matching, reference, candidate, flow)
        ]
        found = [pair for pair in made if pair is not None]
        certain = any(pair.note is None for pair in found)
        yield from (pair for pair in found if not (certain and pair.note and _turned(matching, pair)))


def _turned(matching: Matching, pair: PairedValues) -> bool:
    """Whether two forms have the same axes in an order that cannot be told: another form says what is there."""
    shapes = matching.reference.shape(pair.reference), matching.candidate.shape(pair.candidate)
    return None not in shapes and sorted(squeezed(shapes[0] or ())) == sorted(squeezed(shapes[1] or ()))


def _pair(
    matching: Matching, forms: PairedForms, evidence: Evidence, labels: tuple[dict[str, str], dict[str, str]]
) -> PairedValues | None:
    reference, candidate = forms.reference, forms.candidate
    if not (observed(matching.reference, reference) and observed(matching.candidate, candidate)):
        return None  # the inside of a loop, a branch not taken: nothing to compare
    sketches = matching.reference.sketches.get(reference), matching.candidate.sketches.get(candidate)
    if sketches[0] is not None and sketches[1] is not None and not sketches[0].repeats_as(sketches[1]):
        return None
    shapes = matching.reference.shape(reference), matching.candidate.shape(candidate)
    confidence, note, axes = evidence.confidence, None, forms.axes
    if not forms.known and shapes[0] is not None and shapes[1] is not None:
        comparable, axes = axes_between(shapes[0], shapes[1], (labels[0].get(reference), labels[1].get(candidate)))
        if not comparable:
            if reference not in matching.roots or matching.roots[reference][0] != candidate:
                return None
            note = f"shapes {list(shapes[0])} and {list(shapes[1])} have no axis order in common"
            if sorted(squeezed(shapes[0])) != sorted(squeezed(shapes[1])) and matching.reference.size(reference) == (
                matching.candidate.size(candidate)
            ):
                return None  # the same elements grouped into other axes: moved, not comparable as it stands
    same = agree(*sketches)
    if same:
        confidence = max(confidence, 0.99 if evidence.rule in {"name", "weights", "map", "input"} else 0.96)
    pair = PairedValues(reference, candidate, evidence.rule, round(confidence, 3), axes, note)
    if candidate in matching.root_source:
        return pair
    return replace(pair, rule="layout" if evidence.rule != "map" else "map")


def _reasons(skeleton: Skeleton, paired: set[str]) -> dict[str, str]:
    inside = _between_pairs(skeleton, paired)
    roots = {skeleton.root(value) for value in paired}
    reasons = {}
    for value in skeleton.graph.values:
        if value in paired:
            continue
        producer = skeleton.producer.get(value)
        if value in skeleton.constants or (producer is not None and producer.kind in SOURCES):
            reasons[value] = "constant"
        elif skeleton.root(value) != value and skeleton.root(value) in roots:
            reasons[value] = "layout-only"
        elif not observed(skeleton, value) or (producer is None and value not in skeleton.graph.inputs):
            reasons[value] = "not computed"
        elif value in inside:
            reasons[value] = "fused away"
        elif producer is not None and len(producer.outputs) > 1 and unread(skeleton, value):
            reasons[value] = "not computed"  # one of several outputs, such as the state that a loop leaves behind
        else:
            reasons[value] = "no counterpart"
    return reasons


def _between_pairs(skeleton: Skeleton, paired: set[str]) -> frozenset[str]:
    """Values with a paired tensor somewhere before and somewhere after them: the inside of a region."""
    return skeleton.graph.ancestors(paired) & skeleton.graph.descendants(paired)
