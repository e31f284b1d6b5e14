"""The first culprits taken apart: nodes, settings and weights of both sides, side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import numpy as np

from aligner.diff.weight_picture import weight_pictures
from aligner.numerics import relations
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dissection import Dissection, RegionNode, Setting, WeightComparison, WeightFacts
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.layers import Layer, LayerPair, layer_pairs
from aligner.regions.subgraph import Evidence, Subgraph

Found = TypeVar("Found", Setting, WeightComparison)

CULPRITS, NODES = 12, 24
"""Culprits taken apart, and nodes listed of one region."""

_SPELLING = frozenset({"channels", "linear"})
"""Settings that say how a side writes the same: where its channels lie, whether a product is a layer."""

_TEXT = 160
"""Characters of one attribute that are shown."""
_LARGEST = 1 << 24
"""Elements from which on a weight is described and not drawn."""

_MISFITS = (Unsupported, ValueError, IndexError, KeyError, TypeError, ArithmeticError, MemoryError)
"""What weights and attributes of unforeseen form raise: the page shows less then, and the comparison stands."""


def dissections(
    graphs: tuple[Graph, Graph], culprits: Mapping[int, Measured], evidence: Mapping[str, Evidence]
) -> tuple[Dissection, ...]:
    """Take apart the first of the culprits, given by their places among the pairs."""
    return tuple(
        _dissection(place, Culprit(graphs, item, evidence.get(item.pair.candidate)))
        for place, item in list(culprits.items())[:CULPRITS]
    )


def _dissection(place: int, culprit: Culprit) -> Dissection:
    nodes = [tuple(_region_node(subgraph, node) for node in subgraph.nodes[:NODES]) for subgraph in culprit.subgraphs]
    return Dissection(
        place,
        nodes[0],
        nodes[1],
        settings=_without_failure(_settings, culprit),
        weights=_without_failure(_weights, culprit),
    )


def _without_failure(find: Callable[[Culprit], Iterator[Found]], culprit: Culprit) -> tuple[Found, ...]:
    try:
        return tuple(find(culprit))
    except _MISFITS:
        return ()


def _region_node(subgraph: Subgraph, node: Node) -> RegionNode:
    attributes = {name: _text(value) for name, value in node.attributes.items() if value is not None}
    return RegionNode(
        name=node.name,
        op=node.op,
        kind=node.kind,
        scope=node.scope,
        source=node.source,
        attributes=attributes,
        weights=tuple(_described(subgraph.graph, name) for name in node.weights),
    )


def _described(graph: Graph, name: str) -> str:
    weight = graph.weights.get(name)
    return name if weight is None else f"{weight.name} {'×'.join(map(str, weight.shape)) or 'scalar'} {weight.dtype}"


def _text(value: Any) -> str:
    """An attribute in one line: nested tuples keep their parentheses, the outermost pair goes."""
    if isinstance(value, (tuple, list)):
        text = ", ".join(f"({_text(item)})" if isinstance(item, (tuple, list)) else _text(item) for item in value)
    elif isinstance(value, float):
        text = f"{value:.9g}"
    else:
        text = str(value)
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"


def _settings(culprit: Culprit) -> Iterator[Setting]:
    """Of nodes of one kind on both sides, taken in order; of others nothing can be held against anything."""
    for kind in dict.fromkeys(node.kind for node in culprit.reference.nodes):
        ours, theirs = culprit.reference.of_kind(kind), culprit.candidate.of_kind(kind)
        if len(ours) == len(theirs):
            for node, other in zip(ours, theirs, strict=True):
                yield from _of_nodes(culprit, node, other)


def _of_nodes(culprit: Culprit, node: Node, other: Node) -> Iterator[Setting]:
    left, right = culprit.reference.operation(node), culprit.candidate.operation(other)
    understood = left is not None and right is not None and left.kind == right.kind
    known = [_said(left), _said(right)] if understood else [node.attributes, other.attributes]
    for name in dict.fromkeys([*known[0], *known[1]]):
        pair = [None if side.get(name) is None else _text(side[name]) for side in known]
        both = name in known[0] and name in known[1]  # what one side leaves out may well be a default
        if pair != [None, None] and (understood or both):
            yield Setting((node.name, other.name), name, pair[0], pair[1], differs=both and pair[0] != pair[1])


def _said(operation: Operation | None) -> dict[str, Any]:
    """Settings that are words and numbers; a layout, or being a layer of its framework, is no difference."""
    settings = {} if operation is None else operation.settings
    return {name: value for name, value in settings.items() if name not in _SPELLING and _plain(value)}


def _plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def _weights(culprit: Culprit) -> Iterator[WeightComparison]:
    """Every parameter that both sides have; the one that differs most with its pictures."""
    places = [(pair, role) for pair in layer_pairs(culprit) for role in pair.roles]
    found = [_weight(culprit, pair, role) for pair, role in places]
    differing = [at for at, one in enumerate(found) if one.differs]
    worst = max(differing, key=lambda at: (len(found[at].reference.shape) > 1, found[at].relative or 0), default=-1)
    for at, (one, (pair, role)) in enumerate(zip(found, places, strict=True)):
        yield _drawn(one, pair, role) if at == worst else one


def _weight(culprit: Culprit, pair: LayerPair, role: str) -> WeightComparison:
    left, right = _arrays(pair, role)
    gap = relations.gap(left, right)
    return WeightComparison(
        nodes=(pair.reference.node.name, pair.candidate.node.name),
        role=role,
        reference=_facts(culprit.reference, pair.reference, role, left),
        candidate=_facts(culprit.candidate, pair.candidate, role, right),
        max_abs=_largest(left, right),
        relative=gap,
        correlation=relations.correlation(left, right) if 1 < left.size <= _LARGEST else None,
        differs=not gap <= relations.SAME,
    )


def _arrays(pair: LayerPair, role: str) -> tuple[Array, Array]:
    left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
    return left, right.reshape(left.shape)


def _largest(left: Array, right: Array) -> float:
    with np.errstate(all="ignore"):
        return float(np.abs(right.astype(np.float64) - left.astype(np.float64)).max(initial=0.0))


def _facts(subgraph: Subgraph, layer: Layer, role: str, array: Array) -> WeightFacts:
    finite = array[np.isfinite(array)]
    numbers = [float(read(finite)) for read in (np.mean, np.std, np.min, np.max)] if finite.size else [None] * 4
    return WeightFacts(_name(subgraph, layer, role, array), tuple(array.shape), *numbers)


def _name(subgraph: Subgraph, layer: Layer, role: str, array: Array) -> str:
    """The stored weight that a parameter comes from, as far as its size tells."""
    fitting = [
        weight.name
        for name in layer.node.weights
        if (weight := subgraph.graph.weights.get(name)) is not None and prod(weight.shape) == array.size
    ]
    place = list(layer.parameters).index(role) if len(fitting) == len(layer.parameters) else 0
    folded = ", normalisation folded in" if layer.raw is not None else ""
    return f"{fitting[place]}{folded}" if fitting else f"{role}{folded}"


def _drawn(one: WeightComparison, pair: LayerPair, role: str) -> WeightComparison:
    left, right = _arrays(pair, role)
    return one if left.size > _LARGEST else replace(one, pictures=weight_pictures(left, right))
