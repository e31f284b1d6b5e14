"""The cascade: provenance, weights, structure, order, values. Every pair says which rule made it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from aligner.alignment import provenance, same_parameters
from aligner.alignment.compatibility import agree, are_one_number, stored_number, weight_sizes
from aligner.alignment.matching import Evidence, Matching
from aligner.alignment.neutral import Revived, revived
from aligner.alignment.pairs import assemble
from aligner.alignment.second_look import SecondLook
from aligner.alignment.sequence import between_anchors, heaviest_common_subsequence
from aligner.alignment.skeleton import Skeleton, read
from aligner.alignment.sketch_index import SketchShelf
from aligner.alignment.windows import before_padding, windows_beyond_padding
from aligner.operations.kinds import REARRANGED, same_family
from aligner.parameters.fingerprint import EXACT
from aligner.records.alignment import Alignment, Sketch
from aligner.records.graph import Graph, Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHOLE_TABLE = 2_000_000
"""Cells up to which two sequences are compared whole; longer ones from anchor to anchor."""
_LARGEST_TABLE = 40_000_000
"""Cells of a stretch between two anchors that are held at once: 160 MB of scores. A longer one stays unpaired here."""
_LIKE_NEIGHBOURS = 0.2
"""What operands, and what readers, of the same kinds add to the likeness of two nodes: they decide between equals."""
_FEW_BITS = 1 / 16
"""How far apart sketches of one tensor are in eight bits: 16 steps of 255, noise from further up among them."""
_SAME_NUMBERS = 5.0
"""What the same numbers add to it: two nodes that have them outweigh the two pairs of like ones, 4.4 each, that stand
across them (sums in a row, of which one side has the first inside the node before it)."""
_SAME_NUMBER = 0.05
"""How far apart two numbers of formulas are that may be one, relative: two digits, less than eight bits keep."""
_UNLIKELY = 0.25
"""What is left of the likeness of two nodes that give another size, or take another number: at most 1.1 of 4.4, so that
any other two of their kind come first."""


def align(
    reference: Graph,
    candidate: Graph,
    *,
    reference_sketches: Mapping[str, Sketch] | None = None,
    candidate_sketches: Mapping[str, Sketch] | None = None,
    inputs: Sequence[tuple[str, str]] = (),
    mapping: Sequence[tuple[str, str]] = (),
    method: str = "auto",
    second: SecondLook | None = None,
) -> Alignment:
    """Decide which value of the reference answers which of the candidate.

    ``inputs`` are graph inputs known to hold the same data; ``mapping`` holds (reference id, candidate id) pairs of the
    user's own, which nothing overrides. Sketches, where there are any, confirm pairs and find what structure cannot.
    ``second`` is what a run of the candidate on the reference's tensors has shown of an earlier alignment.
    """

    def matched(computing: Revived) -> Matching:
        skeletons = (
            read(reference, reference_sketches or {}, computing[0], _lacking(candidate)),
            read(candidate, candidate_sketches or {}, computing[1], _lacking(reference)),
        )
        return _matched(Matching(*skeletons, second or SecondLook()), inputs, mapping, method)

    matching = matched((frozenset(), frozenset()))
    neutral = revived(matching)
    return assemble(matched(neutral) if any(neutral) else matching)


def _lacking(graph: Graph) -> frozenset[str]:
    """Kinds that rearrange elements which a graph writes as reshapes and transpositions, having no node of them."""
    kinds = {node.kind for node in graph.nodes}
    return REARRANGED - kinds if "transpose" in kinds else frozenset()


def _matched(
    matching: Matching, inputs: Sequence[tuple[str, str]], mapping: Sequence[tuple[str, str]], method: str
) -> Matching:
    for pair in mapping:
        matching.pair_roots(*pair, Evidence("map", 1.0), resized=True)
    for pair in inputs:
        matching.pair_roots(*pair, Evidence("input", 1.0))
    for pair in matching.second.found:
        matching.pair_roots(*pair, Evidence("values", 0.9))
    for known in matching.second.confirmed:
        matching.pair_roots(*known.values, Evidence(known.rule, known.confidence))
    if method == "order":
        _pair_in_order(matching)
        return matching
    if method in {"auto", "name"}:
        _pair_by_name(matching)
    if method in {"auto", "weights", "structure"}:
        if method != "structure":
            _pair_by_weights(matching)
        _pair_outputs(matching)
        matching.outputs_of_paired_nodes(sure=True)
        matching.propagate()
        _pair_by_sequence(matching)
        matching.propagate()
    matching.outputs_of_paired_nodes()
    matching.propagate() if method != "name" else None
    matching.outputs_of_paired_nodes()
    if method in {"auto", "name"}:
        _pair_module_ends(matching)
    if method == "auto":
        _pair_by_values(matching, matching.reference, matching.candidate)
    return matching


def _pair_by_name(matching: Matching) -> None:
    left, right = matching.reference, matching.candidate
    for values in provenance.fused_values(left, right):
        if matching.pair_roots(left.root(values[0]), right.root(values[1]), Evidence("name", 0.97)):
            matching.forms.setdefault(values[1], values[0])
    for node, other in provenance.named_nodes(left, right, matching.modules):
        if matching.outputs_fit(node, other) or weight_sizes(left, node) == weight_sizes(right, other):
            matching.pair_nodes(node, other, Evidence("name", 0.97))
    for value, other_value in provenance.named_values(left, right):
        a, b = left.producer.get(value), right.producer.get(other_value)
        if a is not None and b is not None and a.kind == b.kind and not (left.moves(a) or right.moves(b)):
            matching.pair_nodes(a, b, Evidence("name", 0.97))
        if (
            agree(left.sketches.get(value), right.sketches.get(other_value)) is not False
            or (a is not None and b is not None and a.kind == b.kind and matching.ends_agree(value, other_value))
            or not (left.flows and right.flows)  # a list of tensors says nothing but names
        ):
            matching.pair_roots(left.root(value), right.root(other_value), Evidence("name", 0.97))


def _pair_module_ends(matching: Matching) -> None:
    """What is left: a layer may be spelled by other nodes, a resize by copies, and is still what its module gives."""
    left, right = matching.reference, matching.candidate
    for value, other in provenance.module_ends(left, right):
        roots = left.root(value), right.root(other)
        same = matching.like.same(*roots)
        if same or matching.ends_agree(*roots):
            matching.pair_roots(*roots, Evidence("name", 0.8))


def _pair_by_weights(matching: Matching) -> None:
    left, right = same_parameters.parameters(matching.reference), same_parameters.parameters(matching.candidate)
    graphs = matching.reference.graph, matching.candidate.graph
    for one, other, distance in same_parameters.uncrossed(graphs, same_parameters.match(left, right)):
        if len(one.users) != len(other.users):
            continue
        for node, partner in zip(one.users, other.users, strict=True):
            if same_family(node.kind, partner.kind):
                sure = 0.98 if distance <= EXACT else 0.93
                evidence = Evidence("weights", sure if len(one.users) == 1 else sure - 0.05)
                if matching.pair_nodes(node, partner, evidence) and one.stored and other.stored and distance <= EXACT:
                    matching.unfolded.add(partner.index)
    matching.propagate()


def _pair_outputs(matching: Matching) -> None:
    """Outputs by name, then by what tells them apart; in file order only when nothing does and all sizes agree."""
    left, right = matching.reference, matching.candidate
    free_left = [value for value in dict.fromkeys(left.graph.outputs) if left.root(value) not in matching.roots]
    free_right = [v for v in dict.fromkeys(right.graph.outputs) if right.root(v) not in matching.root_source]

    def settle(alike: object, confidence: float) -> None:
        assert callable(alike)
        for value in list(free_left):
            options = [other for other in free_right if alike(value, other)]
            rivals = [other for other in free_left if options and alike(other, options[0])]
            if len(set(map(right.root, options))) == 1 and len(set(map(left.root, rivals))) == 1:
                matching.pair_roots(left.root(value), right.root(options[0]), Evidence("output", confidence))
                if len(options) == len(rivals) == 1:
                    matching.forms.setdefault(options[0], value)
                free_left[:] = [other for other in free_left if other not in rivals]
                free_right[:] = [other for other in free_right if other not in options]

    settle(lambda a, b: agree(left.sketches.get(a), right.sketches.get(b)) is True, 0.95)
    settle(lambda a, b: are_one_number(left.sketches.get(a), right.sketches.get(b)), 0.95)
    settle(lambda a, b: left.size(a) is not None and left.size(a) == right.size(b), 0.9)
    settle(lambda a, b: left.graph.values[a].name == right.graph.values[b].name and left.size(a) == right.size(b), 0.9)
    matching.propagate()


def _pair_by_sequence(matching: Matching) -> None:
    left, right = matching.reference.compute, matching.candidate.compute
    if len(left) * len(right) <= _WHOLE_TABLE:
        _pair_stretch(matching, left, right)
        return
    for some, others in between_anchors(left, right, matching.node_partner):
        if len(some) * len(others) <= _LARGEST_TABLE:
            _pair_stretch(matching, some, others)


def _pair_stretch(matching: Matching, left: list[Node], right: list[Node]) -> None:
    if not left or not right:
        return
    score = _scores(matching, left, right)
    for i, j in heaviest_common_subsequence(score):
        if left[i].index not in matching.node_partner and right[j].index not in matching.node_source:
            confidence = min(0.85, 0.4 + 0.08 * float(score[i, j]))
            matching.pair_nodes(left[i], right[j], Evidence("order", confidence))


def _scores(matching: Matching, left: list[Node], right: list[Node]) -> NDArray[np.float32]:
    """Likeness of every two nodes: kind, output size, weight sizes, sketch; anchors pair only with each other."""
    features = [
        [_features(s, node) for node in nodes] for s, nodes in ((matching.reference, left), (matching.candidate, right))
    ]
    codes: dict[object, int] = defaultdict(lambda: len(codes))

    def column(side: int, field: int) -> NDArray[np.int64]:
        return np.array([codes[field, feature[field]] for feature in features[side]], dtype=np.int64)

    def same(field: int) -> NDArray[np.bool_]:
        alike: NDArray[np.bool_] = column(0, field)[:, None] == column(1, field)[None, :]
        return alike

    kind, family = same(0), _one_family([[feature[0] for feature in side] for side in features])
    score: NDArray[np.float32] = (4.0 * kind + 1.0 * family).astype(np.float32)
    score += _LIKE_NEIGHBOURS * same(3)
    score += _LIKE_NEIGHBOURS * same(4)
    score *= kind | family
    score *= same(2)  # parameters of other sizes are other layers
    known = matching.reference.scopes(), matching.candidate.scopes()
    paths = [
        [modules.get(node.scope or "", node.scope) for node in side]
        for modules, side in zip(matching.modules, (left, right), strict=True)
    ]
    elsewhere = provenance.conflicting(paths[0], paths[1], known)
    score *= ~elsewhere  # a module that both sides name answers itself
    score *= np.where(same(1), 1.0, _UNLIKELY).astype(np.float32)
    others = _are_others(*([feature[5] for feature in side] for side in features))
    score *= np.where(others, _UNLIKELY, 1.0).astype(np.float32)  # a number of a formula is its place there
    score[[node.index in matching.node_partner for node in left], :] = 0
    score[:, [node.index in matching.node_source for node in right]] = 0
    _add_sketches(matching, left, right, score)
    if matching.candidate.in_few_bits or matching.reference.in_few_bits:
        _add_nearest(matching, left, right, score)
    place = {node.index: j for j, node in enumerate(right)}
    for i, node in enumerate(left):
        partner = matching.node_partner.get(node.index)
        if partner is not None and partner.index in place:
            score[i, place[partner.index]] = 12 * matching.node_evidence[partner.index].confidence
    return score


def _are_others(one: Sequence[float], other: Sequence[float]) -> NDArray[np.bool_]:
    """Whether two stored numbers are not one, for every two nodes; NaN may be any."""
    numbers, places = np.unique([*one, *other], return_inverse=True)
    known = ~np.isnan(numbers)
    apart = ~np.isclose(numbers[:, None], numbers, rtol=_SAME_NUMBER, atol=0) & known[:, None] & known
    return np.asarray(apart[np.ix_(places[: len(one)], places[len(one) :])])


def _one_family(sides: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    """For the kinds of both sides' nodes, which are of two that may be written for each other."""
    kinds = [np.array(side) for side in sides]
    family: NDArray[np.bool_] = np.zeros((len(kinds[0]), len(kinds[1])), bool)
    for one in {*kinds[0].tolist()}:
        for other in {*kinds[1].tolist()}:
            if one != other and same_family(one, other):
                family |= (kinds[0] == one)[:, None] & (kinds[1] == other)[None, :]
    return family


def _add_sketches(matching: Matching, left: list[Node], right: list[Node], score: NDArray[np.float32]) -> None:
    shelf = SketchShelf(
        (sketch, j)
        for j, node in enumerate(right)
        if node.index not in matching.node_source
        and (sketch := matching.candidate.sketches.get(node.outputs[0])) is not None
    )
    for i, node in enumerate(left):
        sketch = matching.reference.sketches.get(node.outputs[0])
        if sketch is not None and node.index not in matching.node_partner:
            for j in shelf.like(sketch):
                if score[i, j] > 0:
                    score[i, j] += _SAME_NUMBERS


def _add_nearest(matching: Matching, left: list[Node], right: list[Node], score: NDArray[np.float32]) -> None:
    """In few bits no two tensors are the same: those that are each other's nearest are as good, if near enough."""
    rows = [
        [_numbers(skeleton.sketches.get(node.outputs[0])) for node in nodes]
        for skeleton, nodes in ((matching.reference, left), (matching.candidate, right))
    ]
    one, other = np.array(rows[0])[:, None], np.array(rows[1])[None, :]
    extent = np.maximum(np.abs(one[..., 3:]).max(-1, keepdims=True), 1e-30)
    scales = np.concatenate([np.maximum(one[..., 1:2], 1e-30).repeat(2, -1), (2 * extent).repeat(2, -1)], -1)
    apart = np.where(one[..., 0] == other[..., 0], (np.abs(one - other)[..., 1:] / scales).max(-1), np.inf)
    apart[~(score > 0) | ~(apart <= _FEW_BITS)] = np.inf
    near = (apart == apart.min(axis=1)[:, None]) & (apart == apart.min(axis=0)[None, :]) & (apart < np.inf)
    score[near] += 3


def _numbers(sketch: Sketch | None) -> tuple[float, float, float, float, float]:
    """Size, root mean square, mean and ends, as ``distance`` holds them against each other; NaN where nothing tells."""
    core = None if sketch is None else sketch.core
    if core is None or not core.finite or core.min == core.max:
        return (float("nan"),) * 5
    return float(core.size), core.rms, core.mean, core.min, core.max


def _features(
    skeleton: Skeleton, node: Node
) -> tuple[str, int | None, tuple[int, ...], tuple[str, ...], frozenset[str], float]:
    """Kind, output size, weight sizes, the kinds of the nodes before and after, and the stored number."""
    data = [before_padding(skeleton, node, value) for value in skeleton.data_inputs(node)]
    before = [skeleton.producer.get(skeleton.root(value)) for value in data]
    roots = [skeleton.root(value) for value in node.outputs]
    after = {reader.kind for root in roots for reader, _ in skeleton.readers(root)}
    beyond = {reader.kind for root in roots for reader in windows_beyond_padding(skeleton, root)}
    after = after - {"pad"} | beyond if beyond else after
    kinds = tuple(sorted(maker.kind if maker is not None else "" for maker in before))
    size = skeleton.size(node.outputs[0])
    return node.kind, size, weight_sizes(skeleton, node), kinds, frozenset(after), stored_number(skeleton, node)


def _pair_in_order(matching: Matching) -> None:
    """The plain recipe, for those who ask for it: same size and kind, in order, nothing else."""
    _pair_by_sequence(matching)
    matching._nodes.clear()
    matching.outputs_of_paired_nodes()


def _pair_by_values(matching: Matching, left: Skeleton, right: Skeleton) -> None:
    """What is left: tensors that hold the same numbers, when only one tensor on each side does."""
    free = SketchShelf(
        (left.sketches[value], value)
        for node in left.compute
        for value in node.outputs
        if value in left.sketches and value not in matching.roots
    )
    claims: dict[str, list[str]] = defaultdict(list)
    for node in right.compute:
        for value in node.outputs:
            sketch = right.sketches.get(value)
            if sketch is None or value in matching.root_source:
                continue
            same = [other for other in free.near(sketch) if agree(left.sketches[other], sketch)]
            if len(same) == 1:
                claims[same[0]].append(value)
    for value, others in claims.items():
        if len(others) == 1:
            matching.pair_roots(value, others[0], Evidence("values", 0.8))
    matching.outputs_of_paired_nodes()
