"""Find the same parameter on both sides when every name differs.

Batch normalisations that one side has folded into the layer before them are folded here too, and compared as a weight
of their own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import prod

import numpy as np

from aligner.alignment.folded_layer import linear_before, norm_affine
from aligner.alignment.skeleton import Skeleton
from aligner.parameters.fingerprint import (
    ENERGY,
    EXACT,
    LOW,
    ROUNDED,
    SMALLEST,
    Fingerprint,
    fingerprint,
    fingerprint_of,
    table,
)
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node

_FEW = 16
"""Parameters that are told apart by their further sums, before all within the rougher distance are: a limit of work."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight (or a folded one: not ``stored`` as it is) and the nodes that use it."""

    name: str
    fingerprint: Fingerprint
    users: tuple[Node, ...]
    stored: bool = True


Match = tuple[Parameter, Parameter, float]
"""One of the reference's, one of the candidate's, and how far apart they are."""


def parameters(skeleton: Skeleton) -> list[Parameter]:
    """Every telling weight of a side that computing nodes use; weights are read one at a time."""
    users: dict[str, list[Node]] = defaultdict(list)
    for node in skeleton.compute:
        for root in dict.fromkeys(skeleton.weight_roots(node)):
            users[root].append(node)
    found = []
    for name, nodes in users.items():
        weight = skeleton.graph.weights.get(name)
        if weight is None or prod(weight.shape) < SMALLEST:
            continue
        print_ = fingerprint_of(weight)
        if print_ is not None and print_.telling:
            found.append(Parameter(name, print_, tuple(nodes)))
    return found + list(_folded(skeleton))


def _folded(skeleton: Skeleton) -> Iterable[Parameter]:
    """What a converter that folds batch normalisation would have stored for each layer followed by one."""
    for node in (node for node in skeleton.compute if node.kind == "norm"):
        affine = norm_affine(skeleton, node)
        layer = linear_before(skeleton, node, affine[0].size) if affine is not None else None
        if layer is None or affine is None:
            continue
        print_ = fingerprint(layer.times(affine[0]))
        if print_ is not None and print_.telling:
            yield Parameter(f"{layer.node.name} × {node.name}", print_, (layer.node,), stored=False)


def match(reference: list[Parameter], candidate: list[Parameter]) -> list[Match]:
    """Parameters that are the same numbers and whose match is the only one; distance says how same.

    Rounded copies count where most of what has no exact one has a rounded one: a model is stored in lower precision
    as a whole or nearly so, while among many weights of one size some are alike by chance.
    """
    by_size = {size: _Shelf(items) for size, items in _grouped(candidate).items()}
    taken: dict[str, list[tuple[Parameter, float]]] = defaultdict(list)
    open_, rounded = 0, 0
    for parameter in reference:
        shelf = by_size.get(parameter.fingerprint.size)
        near = shelf.nearest(parameter.fingerprint) if shelf is not None else None
        if near is not None:
            taken[near[0].name].append((parameter, near[1]))
        if shelf is not None and (near is None or near[1] > EXACT):
            open_ += 1
            rounded += near is not None
    by_name = {parameter.name: parameter for parameter in candidate}
    matched: list[Match] = []
    for name, claims in taken.items():
        claims.sort(key=lambda claim: claim[1])
        if len(claims) == 1 or claims[0][1] < EXACT <= claims[1][1]:
            matched.append((claims[0][0], by_name[name], claims[0][1]))
    return [found for found in matched if found[2] <= EXACT or 2 * rounded > open_]


def uncrossed(graphs: tuple[Graph, Graph], found: Sequence[Match]) -> list[Match]:
    """Matches but for those of layers of one size in a row that stand in each other's places, as where a list of them
    is in another order: there each has the other's weights, and what it reads and gives tells its place."""
    crossed = set[str]()
    for matches in _by_place(found).values():
        places = np.array([other.users[0].index for _, other, _ in matches])
        late = np.flatnonzero(places < np.maximum.accumulate(places)) if places.size else ()
        for second in late if len(late) <= _FEW else ():  # more: nodes in another order throughout
            for first in np.flatnonzero(places[:second] > places[second]):
                one, other = matches[first], matches[second]
                ways = (graphs[0], one[0].users[0], other[0].users[0]), (graphs[1], other[1].users[0], one[1].users[0])
                if all(end.outputs[0] in graph.descendants(start.outputs[:1]) for graph, start, end in ways):
                    crossed |= {one[0].name, other[0].name}
    return [match for match in found if match[0].name not in crossed]


def _by_place(found: Iterable[Match]) -> dict[tuple[str, int], list[Match]]:
    """Matches of weights that one node uses, by its kind and their size, in the reference's order."""
    groups: dict[tuple[str, int], list[Match]] = defaultdict(list)
    for match in sorted(found, key=lambda match: match[0].users[0].index):
        if len(match[0].users) == len(match[1].users) == 1:
            groups[match[0].users[0].kind, match[0].fingerprint.size].append(match)
    return groups


def _grouped(items: list[Parameter]) -> dict[int, list[Parameter]]:
    groups: dict[int, list[Parameter]] = defaultdict(list)
    for item in items:
        groups[item.fingerprint.size].append(item)
    return groups


class _Shelf:
    """Parameters of one size, sorted by their smallest element so that few have to be looked at."""

    def __init__(self, parameters: list[Parameter]) -> None:
        self._parameters = sorted(parameters, key=lambda parameter: parameter.fingerprint.low)
        self._table = table([parameter.fingerprint for parameter in self._parameters])

    def nearest(self, wanted: Fingerprint) -> tuple[Parameter, float] | None:
        """The parameter with the same numbers, and how far off; None where there is none, or several."""
        reach = ROUNDED * max(abs(wanted.low), abs(wanted.high), 1e-300)
        start, stop = np.searchsorted(self._table[LOW], [wanted.low - reach, wanted.low + reach], side="left")
        apart = np.abs(self._table[ENERGY, start:stop] - wanted.energy)
        near = apart <= 4 * ROUNDED * wanted.energy
        if int(near.sum()) > _FEW:
            near &= apart <= 4 * wanted.sums_within * wanted.energy
        places = np.flatnonzero(near) + start
        if not places.size:
            return None
        distances = wanted.distances(self._table[:, places])
        ranked = np.argsort(distances, kind="stable")
        best, distance = self._parameters[places[ranked[0]]], float(distances[ranked[0]])
        if not (distance <= EXACT or wanted.rounds_to(best.fingerprint)):
            return None
        if len(ranked) > 1 and distances[ranked[1]] <= max(EXACT, 4 * distance):
            return None  # several equal weights: structure has to tell them apart
        return best, distance
