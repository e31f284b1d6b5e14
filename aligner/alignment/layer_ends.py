"""Where a layer ends: what a converter may have folded into its node, or left to the nodes after it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from math import prod

from aligner.alignment.compatibility import weight_sizes
from aligner.alignment.folded_layer import normalisation
from aligner.alignment.skeleton import Skeleton
from aligner.operations.fused import fused_kind
from aligner.operations.kinds import AFFINE, ELEMENTWISE, FUSIBLE, INVERSES, LINEAR
from aligner.operations.settings import BatchNorm
from aligner.records.graph import Node

Sides = tuple[Skeleton, Skeleton]
Ends = tuple[str, str]
_LONGEST_FUNCTION = 6
"""Nodes of a function of one tensor that gates it: hard swish spelled out has four, with casts on either side six."""
_LONGEST_ACTIVATION = 32
"""Nodes of an activation that is spelled out: a GELU by a polynomial of the error function has 24."""
_STATISTICS = ELEMENTWISE | {"reduce"}
_LONGEST_BIAS = 1 << 16
"""A limit of work: as ``judgement.tolerance`` has it, longer ones are tables."""


def biased(skeleton: Skeleton, node: Node) -> bool:
    """Whether a linear node brings its own bias along; zeros in its place are none."""
    roots = skeleton.weight_roots(node) if node.kind in LINEAR else []
    return len(roots) > 1 and not (len(roots) == 2 and _zeros(skeleton, roots[1]))


def _zeros(skeleton: Skeleton, name: str) -> bool:
    weight = skeleton.graph.weights.get(name)
    if weight is None or len(weight.shape) != 1 or not 0 < weight.shape[0] <= _LONGEST_BIAS:
        return False
    return not weight.values().any()


def with_bias(skeleton: Skeleton, value: str) -> str:
    """The sum with a constant that directly follows a linear node: the bias that the other side's node contains."""
    return with_constant(skeleton, value, frozenset({"add"}))


def adds_bias(skeleton: Skeleton, node: Node) -> bool:
    """Whether a sum is nothing but the bias of the linear node before it."""
    if node.kind != "add":
        return False
    data = skeleton.data_inputs(node)
    linear = skeleton.producer.get(skeleton.root(data[0])) if len(data) == 1 else None
    if linear is None or linear.kind not in LINEAR or biased(skeleton, linear):
        return False
    return with_bias(skeleton, data[0]) == node.outputs[0] and bool(skeleton.weight_roots(node))


def layer_of(skeleton: Skeleton, value: str) -> Node | None:
    """The linear node that computes a value, itself or but for its bias."""
    node = skeleton.producer.get(value)
    if node is not None and adds_bias(skeleton, node):
        node = skeleton.producer.get(skeleton.root(skeleton.data_inputs(node)[0]))
    return node if node is not None and node.kind in LINEAR else None


def normed_layer(skeleton: Skeleton, value: str) -> Node | None:
    """The linear node that computes a value, itself or but for what a converter may fold into it: bias and norm."""
    node = skeleton.producer.get(value)
    data = skeleton.data_inputs(node) if node is not None and node.kind == "norm" else []
    if node is not None and len(data) == 1 and _fusible(skeleton, node):
        value = skeleton.root(data[0])
    return layer_of(skeleton, value)


def gates_itself(skeleton: Skeleton, node: Node) -> bool:
    """Whether a product is that of a tensor and a function of it alone: the end of a SiLU that is spelled out."""
    data = [skeleton.root(name) for name in skeleton.data_inputs(node)] if node.kind == "mul" else []
    return len(data) == 2 and (_computed_from(skeleton, *data) or _computed_from(skeleton, data[1], data[0]))


def _computed_from(skeleton: Skeleton, value: str, source: str) -> bool:
    for _ in range(_LONGEST_FUNCTION):
        node = skeleton.producer.get(value)
        data = skeleton.data_inputs(node) if node is not None and node.kind in ELEMENTWISE else []
        if len(data) != 1:
            return False
        value = skeleton.root(data[0])
        if value == source:
            return True
    return False


def activated(skeleton: Skeleton, value: str) -> tuple[str, bool] | None:
    """The tensor that a value is a function of, element by element, and whether several operands lead to it."""
    node = skeleton.producer.get(value)
    while node is not None and node.kind in AFFINE and len(skeleton.data_inputs(node)) == 1:  # a half, at either end
        node = skeleton.producer.get(skeleton.root(skeleton.data_inputs(node)[0]))
    if node is None or node.kind not in ELEMENTWISE or not skeleton.data_inputs(node):
        return None
    data = list(dict.fromkeys(skeleton.root(name) for name in skeleton.data_inputs(node)))
    source = _source(skeleton, data)
    return None if source is None else (source, len(data) > 1)


def normed(skeleton: Skeleton, value: str) -> tuple[str, bool] | None:
    """The tensor that a value is a normalisation of, and whether that is spelled out by sums and products."""
    node = skeleton.producer.get(value)
    data = [skeleton.root(name) for name in skeleton.data_inputs(node)] if node is not None else []
    if node is not None and node.kind == "norm":
        return (data[0], False) if len(data) == 1 else None
    while node is not None and node.kind in AFFINE and len(data) == 1:  # scale and shift
        value, node = data[0], skeleton.producer.get(data[0])
        data = [skeleton.root(name) for name in skeleton.data_inputs(node)] if node is not None else []
    source = _statistics_of(skeleton, node)
    centred = _statistics_of(skeleton, skeleton.producer.get(source)) if source is not None else None
    return (centred or source, True) if source is not None else None


def _statistics_of(skeleton: Skeleton, node: Node | None) -> str | None:
    """The tensor that a node computes with together with sums or means of it."""
    data = [skeleton.root(name) for name in skeleton.data_inputs(node)] if node is not None else []
    if node is None or node.kind not in ELEMENTWISE or len(data) < 2:
        return None
    source = _source(skeleton, data, _STATISTICS)
    summed = source in data and any(skeleton.size(name) != skeleton.size(source) for name in data if source)
    return source if summed else None


def _source(skeleton: Skeleton, values: list[str], kinds: frozenset[str] = ELEMENTWISE) -> str | None:
    """The one tensor that some are computed from element by element, by however many ways."""
    front = {value: skeleton.producer.get(value) for value in values}
    for _ in range(_LONGEST_ACTIVATION):
        if len(front) == 1:
            return next(iter(front))
        last = max(front, key=lambda value: -1 if (maker := front[value]) is None else maker.index)
        if (node := front[last]) is None or node.kind not in kinds or not skeleton.data_inputs(node):
            return _only_plain(skeleton, front, values)
        del front[last]
        roots = [skeleton.root(name) for name in skeleton.data_inputs(node)]
        front |= {root: skeleton.producer.get(root) for root in roots}
    return None


def _only_plain(skeleton: Skeleton, front: Mapping[str, Node | None], values: Collection[str]) -> str | None:
    """Of the copies of one layer, each with a number of the formula in its bias, the one whose tensor is read as it is.

    Converters put an offset behind a layer, and the activation behind that, into a copy of the layer.
    """
    layers = [(value, node) for value, node in front.items() if node is not None and node.kind in LINEAR]
    forms = {
        (tuple(map(skeleton.root, skeleton.data_inputs(node))), weight_sizes(skeleton, node)) for _, node in layers
    }
    if len(layers) < len(front) or len(forms) != 1:
        return None
    plain = [value for value, node in layers if node.attributes.get("fused_activation", "none") in {"none", None}]
    read = [value for value in plain if value in values]
    return read[0] if len(read) == 1 else None


def with_constant(skeleton: Skeleton, value: str, kinds: frozenset[str] = AFFINE) -> str:
    """What a value's only reader makes of it with a constant; else the value itself."""
    readers = skeleton.readers(skeleton.root(value))
    if len(readers) == 1 and readers[0][0].kind in kinds:
        node = readers[0][0]
        if len(skeleton.data_inputs(node)) == 1 and skeleton.size(node.outputs[0]) == skeleton.size(value):
            return node.outputs[0]
    return value


def with_affine(skeleton: Skeleton, value: str) -> str:
    """What a scale by constants makes of a value, with a shift if one follows; else the value itself.

    A norm has a factor for each channel; one number, as attention scales its queries by, is none.
    """
    scaled = with_constant(skeleton, value, frozenset({"mul"}))
    if scaled == value or not _for_each_channel(skeleton, skeleton.producer[scaled]):
        return value
    return with_constant(skeleton, scaled, frozenset({"add"}))


def _for_each_channel(skeleton: Skeleton, node: Node) -> bool:
    """Whether what a node takes beside its tensor is more than one number."""
    weights = (skeleton.graph.weights.get(root) for root in skeleton.weight_roots(node))
    return any(prod(weight.shape) > 1 for weight in weights if weight is not None)


def with_norm(skeleton: Skeleton, value: str) -> str:
    """What a value's only reader makes of it, where that is a norm that a converter may fold; else the value itself."""
    only = _only_reader(skeleton, value)
    return only.outputs[0] if only is not None and only.kind == "norm" and _fusible(skeleton, only) else value


def tail(skeleton: Skeleton, value: str) -> tuple[str, str | None, bool]:
    """The activation inside the value's node, the kind of a fusible only reader, and whether a norm to fold follows.

    Behind a bias of its own node the norm counts as well, for who folds it scales the kernel before the bias, too; and
    so do scale and shift, as which a norm may be spelled.
    """
    node = skeleton.producer.get(skeleton.root(value))
    fused = fused_kind(str(node.attributes.get("fused_activation") or "none")) if node is not None else "none"
    reader = _only_reader(skeleton, value)
    if reader is None:
        return fused, None, False
    affine = AFFINE - INVERSES if node is not None and node.kind == "norm" else frozenset({"add"})
    constant = reader.kind in affine and len(skeleton.data_inputs(reader)) == 1
    biased = with_bias(skeleton, value) if node is not None and node.kind in LINEAR else value
    norm = with_norm(skeleton, biased) != biased or with_affine(skeleton, biased) != biased
    return fused, reader.kind if _fusible(skeleton, reader) or constant else None, norm


def _only_reader(skeleton: Skeleton, value: str) -> Node | None:
    readers = {reader.index: reader for reader, _ in skeleton.readers(skeleton.root(value))}
    return next(iter(readers.values())) if len(readers) == 1 else None


def _fusible(skeleton: Skeleton, node: Node) -> bool:
    """Whether a converter may fold a node into the layer before it; a norm over what it reads itself it cannot."""
    if node.kind != "norm":
        return node.kind in FUSIBLE
    operation = normalisation(skeleton, node)
    settings = operation.settings if operation is not None else None
    return isinstance(settings, BatchNorm) and not settings.training


def both_with_affine(sides: Sides, left: str, right: str) -> Ends:
    """The end of scale and shift that follow a normalisation on one side and are inside it on the other."""
    nodes = sides[0].producer.get(left), sides[1].producer.get(right)
    if any(node is None or node.kind != "norm" for node in nodes):
        return left, right
    ends = with_affine(sides[0], left), with_affine(sides[1], right)
    return (left, right) if (ends[0] == left) == (ends[1] == right) else ends


def both_with_norm(sides: Sides, left: str, right: str, same: Callable[[str, str], bool]) -> Ends:
    """The end of a norm that the other side lacks, where it does so little that the tensors cannot tell.

    Statistics that were never trained divide by √(1 + ε): what the other side has folded in answers the norm.
    """
    ends = with_norm(sides[0], left), with_norm(sides[1], right)
    if (ends[0] == left) == (ends[1] == right):
        return left, right
    return ends if same(*ends) else (left, right)


def one_with_constant(sides: Sides, left: str, right: str, same: Callable[[str, str], bool]) -> Ends | None:
    """The end of a constant factor or summand that one side has folded into its node, where the tensors say so."""
    ends = with_constant(sides[0], left), with_constant(sides[1], right)
    options = ((ends[0], right), (left, ends[1]))
    return next((option for option in options if option != (left, right) and same(*option)), None)
