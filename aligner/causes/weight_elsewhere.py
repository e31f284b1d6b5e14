"""Whether the numbers of a parameter are those of another weight of the reference: two entries exchanged."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator

import numpy as np

from aligner.causes.context import Context
from aligner.causes.weight_order import moved, same_somewhere
from aligner.numerics import relations
from aligner.parameters.remembered import Remembered
from aligner.records.array import Array
from aligner.records.graph import Weight
from aligner.regions.culprit import Culprit
from aligner.regions.folding import Layer
from aligner.regions.layer_numbers import MATRICES
from aligner.regions.layers import LayerPair, folded, layers
from aligner.regions.subgraph import Subgraph

_FEWEST = 8
"""Numbers that do not agree by chance."""
_PLACES = 8
"""Guilty layers whose numbers are computed or folded, and are therefore worked out to be looked at."""


def elsewhere(pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
    """The reference's weight, and the node it belongs to, whose numbers the candidate holds in this one's place."""
    forms = _strange_forms(pair, role, culprit)
    own = {*pair.reference.node.weights, *(culprit.reference.region.weights if role not in MATRICES else ())}
    return _stored(own, culprit, forms) or _worked_out(culprit, context, role, forms) if forms else None


def left_unread(pair: LayerPair, role: str, culprit: Culprit) -> str | None:
    """The reference's weight with the candidate's numbers that nothing of the reference reads on this input."""
    graph = culprit.graphs[0]
    read = {name for node in graph.nodes for name in (*node.inputs, *node.weights)}
    forms = _strange_forms(pair, role, culprit)
    return next((weight.name for weight in _of_numbers(culprit, forms, read)), None) if forms else None


def _strange_forms(pair: LayerPair, role: str, culprit: Culprit) -> list[Form]:
    """The candidate's parameter, as it works and as it is stored, where it is not the reference's in other words."""
    right = pair.candidate.parameters.get(role)
    if right is None or right.size < _FEWEST or not float(np.ptp(right)) > 0:
        return []
    if same_somewhere(pair, role) or moved(pair, role, culprit):
        return []
    held = pair.candidate.bare(pair.candidate.parameters)[role]
    mine = [right] if held is right else [right, held]
    if not float(np.ptp(held)) > 0:
        return []  # what is folded into a bias of zeros is another's, and rightly so
    return [(each, _extremes(each)) for each in mine]


Form = tuple["Array", tuple[float, float]]


def _stored(own: set[str], culprit: Culprit, forms: list[Form]) -> str | None:
    """Among the weights of the graph; vectors are often what is left of each other when one lacks a summand."""
    for weight in _of_numbers(culprit, forms, own):
        user = next(iter(culprit.graphs[0].readers(weight.name)), None)
        if user is not None:
            return f"{weight.name}, the weight of {user.name}"
    return None


def _of_numbers(culprit: Culprit, forms: list[Form], but: Collection[str]) -> Iterator[Weight]:
    """The reference's weights with these numbers, but for some by name."""
    for name, weight in culprit.graphs[0].weights.items():
        size = math.prod(weight.shape)
        if name in but or not any(form.size == size for form, _ in forms) or "float" not in weight.dtype:
            continue
        if any(_near(_known(weight), ends) and relations.same_numbers(weight.values(), form) for form, ends in forms):
            yield weight


def _worked_out(culprit: Culprit, context: Context, role: str, forms: list[Form]) -> str | None:
    for layer in _guilty_layers(culprit, context):
        left = layer.parameters.get(role)
        for theirs in (left, layer.raw if role == "kernel" else None):
            if theirs is None:
                continue
            ends = _extremes(theirs)
            if any(_near(ends, others) and relations.same_numbers(theirs, form) for form, others in forms):
                return f"the {role} of {layer.node.name}"
    return None


def _guilty_layers(culprit: Culprit, context: Context) -> Iterator[Layer]:
    others = [one for one in context.guilty if one is not culprit.measured and one.pair.reference_region.weights]
    for item in others[:_PLACES]:
        subgraph = Subgraph(culprit.graphs[0], item, 0, None)
        found = layers(subgraph)
        yield from found
        yield from (one for one in folded(subgraph, found) if one.scale is not None or one.added is not None)


def _known(weight: Weight) -> tuple[float, float]:
    """A weight's smallest and largest number, looked for once."""
    return _extremes_of.of(weight, lambda: _extremes(weight.values()))


_extremes_of: Remembered[tuple[float, float]] = Remembered()


def _extremes(array: Array) -> tuple[float, float]:
    return (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)


def _near(left: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether two weights reach as far, which most that are not the same do not."""
    within = 1e-5 * max(abs(left[0]), abs(left[1]))
    return all(abs(a - b) <= within for a, b in zip(left, right, strict=True))
