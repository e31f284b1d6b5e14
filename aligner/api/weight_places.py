"""Weights that hold the reference's numbers in an order that the node which reads them does not undo.

A layout that an operation defines (the rows of a Gemm's ``transB``, a TFLite kernel's channels last, the gates of a
cell) is none: both weights are carried into the layout that all frameworks share here, and compared there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod

import numpy as np

from aligner.alignment.skeleton import read
from aligner.causes.weight_cause import versions
from aligner.causes.weight_order import moved
from aligner.execution.side import Sides
from aligner.numerics import relations
from aligner.operations.operation import Unsupported
from aligner.parameters.fingerprint import EXACT, ROUNDED, Fingerprint, fingerprint, fingerprint_of
from aligner.parameters.relation import CAST, NARROW, Numbers, relate
from aligner.records.alignment import Alignment, PairedValues, Region
from aligner.records.array import Array
from aligner.records.axis_order import to_reference
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.records.weight import StoredWeight, WeightMatch
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import MATRICES, step_of
from aligner.regions.layers import LayerPair, layer_pairs

MOVES = frozenset({"transposed", "flipped", "permuted"})
"""Words for another order of the same numbers."""
_UNREAD = frozenset({"concatenated", "split", "constant-folded"})
"""What has no single counterpart to be held against."""
_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError, MemoryError)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """How the candidate's numbers stand to the reference's as their nodes read them; ``words`` spell it out."""

    transforms: tuple[str, ...]
    """None where the numbers are in place."""
    axes: tuple[int, ...] | None
    relative: float
    correlation: float
    words: str
    flattening: bool = False
    """Whether it is what a matrix behind a flattened tensor needs where channels have moved from first to last."""


def misplaced(
    graphs: tuple[Graph, Graph],
    alignment: Alignment,
    matches: Sequence[WeightMatch],
    among: Collection[str] | None = None,
) -> dict[int, Misplaced]:
    """Matches, by their places, whose numbers reach the two nodes in different orders; ``among`` are candidate's ids.

    Looks at those only that were found in another order, or that are as long along one axis as along another. What
    the graphs' other nodes do about it is not seen here.
    """
    chosen = [place for place, match in enumerate(matches) if _may_be(match, among)]
    if not chosen:
        return {}
    readers = _readers(graphs[0]), _readers(graphs[1])
    found = {}
    for place in chosen:
        one = _look(graphs, alignment, matches[place], readers)
        if one is not None:
            found[place] = one
    return found


def _may_be(match: WeightMatch, among: Collection[str] | None) -> bool:
    if match.status != "matched" or match.reference is None or match.candidate is None:
        return False
    if among is not None and match.candidate.id not in among:
        return False
    if _UNREAD & set(match.transforms):
        return False
    sizes = [dim for dim in match.reference.shape if dim != 1]
    return bool(MOVES & set(match.transforms)) or len(set(sizes)) < len(sizes)


Readers = Mapping[str, Sequence[Node]]


def _readers(graph: Graph) -> Readers:
    found: dict[str, list[Node]] = defaultdict(list)
    skeleton = read(graph, {})
    for node in skeleton.compute:
        for root in dict.fromkeys(skeleton.weight_roots(node)):
            found[root].append(node)
    return found


def _look(
    graphs: tuple[Graph, Graph], alignment: Alignment, match: WeightMatch, readers: tuple[Readers, Readers]
) -> Misplaced | None:
    """What the first pair of nodes says that could be read; the whole regions, where folds are, if no node can."""
    for pair in _scenes(alignment, match, readers):
        try:
            culprit = Culprit(graphs, Measured(pair, None, None, None, None), None)
            if any(node.attributes.get("blocked") for subgraph in culprit.subgraphs for node in subgraph.nodes):
                return None
            found = [one for layer in layer_pairs(culprit) for one in _of_layer(culprit, layer, match)]
        except _MISFITS:
            continue
        if found:
            return next((one for one in found if one.transforms), None)
    return None


def _scenes(alignment: Alignment, match: WeightMatch, readers: tuple[Readers, Readers]) -> Iterator[PairedValues]:
    """The nodes that read the weight on both sides, those of one kind beside each other; then the regions around."""
    assert match.reference is not None and match.candidate is not None
    mine, theirs = (
        side.get(weight.id, ()) for side, weight in zip(readers, (match.reference, match.candidate), strict=True)
    )
    for kind in dict.fromkeys(node.kind for node in theirs):
        left, right = ([node for node in side if node.kind == kind] for side in (mine, theirs))
        for node, other in zip(left, right, strict=False):
            yield _alone(node, other)
    if len(mine) == len(theirs) == 1 and mine[0].kind != theirs[0].kind:
        yield _alone(mine[0], theirs[0])
    for pair in alignment.pairs:
        if match.reference.id in pair.reference_region.weights and match.candidate.id in pair.candidate_region.weights:
            yield pair


def _alone(node: Node, other: Node) -> PairedValues:
    regions = [Region((one.index,), one.weights, one.inputs) for one in (node, other)]
    return PairedValues(
        node.outputs[0], other.outputs[0], "weights", 1.0, reference_region=regions[0], candidate_region=regions[1]
    )


def _of_layer(culprit: Culprit, pair: LayerPair, match: WeightMatch) -> Iterator[Misplaced]:
    """One answer for each parameter that holds the weight's numbers; without transforms where they are in place."""
    assert match.reference is not None and match.candidate is not None
    for role in pair.roles:
        for left, right in versions(pair, role):
            sides = [Numbers(left, match.reference.dtype), _stored(culprit, pair, role, match.candidate, right)]
            if not _holds(culprit, pair, match.candidate, right):
                continue
            gap = relations.gap(left, right)
            relation = None if gap <= CAST else relate(*sides, numbers_agree=_agree(sides[0], sides[1]))
            words = tuple(word for word in relation.transforms if word in MOVES) if relation is not None else ()
            if relation is None or (relation.matched and not words):
                yield Misplaced((), None, gap, 1.0, "")
            elif relation.matched:
                told = moved(pair, role, culprit) or " and ".join(words)
                words = (*(word for word in match.transforms if word.endswith("-folded")), *words)
                alike, flat = relations.correlation(left, right), _flattening(left, right)
                yield Misplaced(words, relation.axes, gap, alike, told, flat)
            else:
                continue
            break


def _stored(culprit: Culprit, pair: LayerPair, role: str, stored: StoredWeight, array: Array) -> Numbers:
    """The candidate's parameter; with the step of each number where it is stored in codes of their own spacing."""
    weight = culprit.candidate.graph.weights.get(stored.id)
    step = step_of(culprit, pair) if role in MATRICES and weight is not None and weight.spacing is not None else None
    spacing = None if step is None else lambda: np.broadcast_to(step, array.shape)
    return Numbers(array, stored.dtype, spacing=spacing)


def _flattening(left: Array, right: Array) -> bool:
    """Whether the columns of a matrix were read as channels × places and are places × channels now, or the reverse."""
    if left.ndim != 2 or left.shape != right.shape:
        return False
    rows, columns = left.shape
    return any(
        relations.gap(left.reshape(rows, size, -1).swapaxes(1, 2).reshape(rows, columns), right) <= CAST
        for size in range(2, columns // 2 + 1)
        if columns % size == 0
    )


def _holds(culprit: Culprit, pair: LayerPair, stored: StoredWeight, array: Array) -> bool:
    """Whether a parameter is the stored weight: the only one of its size, else the one with its numbers."""
    weight = culprit.candidate.graph.weights.get(stored.id)
    if weight is None or prod(weight.shape) != array.size:
        return False
    if sum(other.size == array.size for other in pair.candidate.parameters.values()) == 1:
        return True
    return _alike(fingerprint_of(weight), fingerprint(array), ROUNDED)


def _agree(left: Numbers, right: Numbers) -> bool:
    narrow = any(side.dtype.startswith(NARROW) for side in (left, right))
    return _alike(fingerprint(left.array), fingerprint(right.array), ROUNDED if narrow else EXACT)


def _alike(left: Fingerprint | None, right: Fingerprint | None, within: float) -> bool:
    return left is not None and right is not None and left.telling and left.distance(right) <= within


_OUTPUTS_APART = {"int": 0.2, "narrow": 1e-2, "": 1e-3}
"""Relative distance of outputs up to which two models compute the same, by how the candidate keeps its weights."""


def same_outputs(sides: Sides, alignment: Alignment) -> bool:
    """Whether both models, fed already, compute the same: all outputs that answer each other, and one at least.

    An output that is one number throughout says nothing.
    """
    shown = [{tensor.value: tensor.real() for tensor in side.predict()} for side in sides]
    allowed = _OUTPUTS_APART[_kept(sides[1].graph)]
    told = False
    for pair in alignment.pairs:
        if pair.candidate not in shown[1] or pair.reference not in shown[0]:
            continue
        left = shown[0][pair.reference]
        right = to_reference(shown[1][pair.candidate], pair.axes, left.shape)
        if right is None or not relations.gap(left, right) <= allowed:
            return False
        told = told or bool((left != left.reshape(-1)[:1].reshape((1,) * left.ndim)).any())
    return told


def _kept(graph: Graph) -> str:
    matrices = [weight for weight in graph.weights.values() if len(weight.shape) > 1]
    dtypes = [weight.dtype for weight in matrices]
    if any(weight.spacing is not None for weight in matrices) or any(
        dtype.startswith(("int8", "uint8", "int4", "uint4")) for dtype in dtypes
    ):
        return "int"
    return "narrow" if any(dtype.startswith(NARROW) for dtype in dtypes) else ""
