"""Operands that stand in a graph as numbers: fill values, factors, buffers; and what answers them on the other side."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from aligner.numerics import relations
from aligner.operations.kinds import BINARY, COMBINES, COMMUTATIVE, LINEAR, LOOKED_UP, ordered
from aligner.operations.operation import Operation
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph

_EITHER_WAY = COMMUTATIVE | {"where"}
"""Kinds whose constant may stand at another place on the other side: factors are exchanged, conditions negated."""
MOST = 64
"""Nodes that a constant may be computed by; what takes more is taken to depend on the input."""
_RTOL = 1e-6
"""Of each number: a constant that was written as text with seven digits, or folded in float32, is the same one."""


@dataclass(frozen=True, slots=True, eq=False)
class ConstantOperand:
    """One operand that no input of the model reaches.

    ``name`` is its value, None where the number is written into the node itself; ``sources`` are the weights it is
    made of. ``stored``: it is one of them, at most moved or recoded.
    """

    node: Node
    operation: Operation
    place: int
    name: str | None
    sources: tuple[str, ...]
    stored: bool

    @property
    def array(self) -> Array:
        """Its numbers, in the model's own layout."""
        return self.operation.data[self.place]

    def replaced_by(self, array: Array, operation: Operation | None = None) -> Operation:
        """The operation with something else at this place, or another one of the same node."""
        operation = operation or self.operation
        data = list(operation.data)
        data[self.place] = array
        return operation.with_data(*data)


def constant_sources(subgraph: Subgraph, name: str) -> tuple[str, ...] | None:
    """The weights that a value is computed from; None where its numbers depend on an input, or on chance.

    A size of the input counts as constant: it changes no number of a table that is cut to it.
    """
    names, seen, sources = [name], set[str](), list[str]()
    while names:
        value = names.pop()
        if not value or value in seen:
            continue
        seen.add(value)
        if value in subgraph.graph.weights:
            sources.append(value)
            continue
        node = subgraph.graph.producer(value)
        if node is None or len(seen) > MOST or (not node.inputs and node.kind != "constant"):
            return None
        if node.kind != "shape":
            names += node.inputs
    return tuple(sources)


def operand_name(subgraph: Subgraph, node: Node, operation: Operation, place: int) -> str | None:
    """The value that an operand is, None for a number that is written into the node."""
    names = [name for name in node.inputs if name]
    for name in names:
        if subgraph.array(name) is operation.data[place]:
            return name
    unmoved = operation.kind not in COMBINES - BINARY - {"compare"} and len(names) == len(operation.data)
    return names[place] if unmoved and place < len(names) else None


def constants_of(subgraph: Subgraph, node: Node, operation: Operation) -> list[ConstantOperand]:
    """The operands of one node that are constants."""
    found = []
    for place, array in enumerate(operation.data):
        name = operand_name(subgraph, node, operation, place)
        if name is None:
            if array.size == 1:
                found.append(ConstantOperand(node, operation, place, None, (), stored=True))
            continue
        sources = constant_sources(subgraph, name)
        if sources is not None:
            found.append(ConstantOperand(node, operation, place, name, sources, stored=subgraph.constant(name)))
    return found if any(subgraph.varies(name) for name in node.inputs if name) else []


Pair = tuple[ConstantOperand, ConstantOperand]


def constant_pairs(culprit: Culprit) -> Iterator[Pair]:
    """Constants of the candidate with the reference's that answer them."""
    for kind in ordered(COMBINES | LOOKED_UP | LINEAR):
        both = [
            [
                constants_of(subgraph, node, operation)
                for node in subgraph.of_kind(kind)
                if (operation := subgraph.operation(node)) is not None
            ]
            for subgraph in culprit.subgraphs
        ]
        if len(both[0]) == len(both[1]):
            for theirs, mine in zip(*both, strict=True):
                yield from _by_place(kind, mine, theirs)
        elif both[0] and both[1]:
            yield from _left_over([one for each in both[1] for one in each], [one for each in both[0] for one in each])


def _by_place(kind: str, mine: list[ConstantOperand], theirs: list[ConstantOperand]) -> Iterator[Pair]:
    places = {one.place: one for one in theirs}
    same = [(one, places[one.place]) for one in mine if one.place in places]
    if not same and kind in _EITHER_WAY and len(mine) == len(theirs) == 1:
        same = [(mine[0], theirs[0])]
    yield from same


def _left_over(mine: list[ConstantOperand], theirs: list[ConstantOperand]) -> Iterator[Pair]:
    """Where one side has more nodes of a kind: the one constant of each side that the other side does not hold."""
    ways = (mine, theirs), (theirs, mine)
    rest = [[one for one in ours if not any(_equal(one, other) for other in yours)] for ours, yours in ways]
    if len(rest[0]) == len(rest[1]) == 1 and rest[0][0].array.size == rest[1][0].array.size:
        yield rest[0][0], rest[1][0]


def _equal(one: ConstantOperand, other: ConstantOperand) -> bool:
    return one.array.size == other.array.size and not differ(one.array.reshape(-1), other.array.reshape(-1))


def in_candidates_form(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand) -> Array | None:
    """The reference's constant as the candidate's node would read it; None where the two do not fit."""
    wrong, right = mine.array, theirs.array
    axes = culprit.measured.pair.axes
    if axes is not None and sum(length > 1 for length in right.shape) > 1:
        shapes = [np.broadcast_shapes(*(each.shape for each in one.operation.data)) for one in (theirs, mine)]
        moved = to_candidate(np.broadcast_to(right, shapes[0]), axes, shapes[1])
        if moved is not None:
            return np.asarray(moved)
    return right.reshape(wrong.shape) if right.size == wrong.size else None


def normalises(subgraph: Subgraph, indices: tuple[int, ...]) -> bool:
    """Whether a normalisation is among these nodes, as one node or spelled out: a factor made of several weights."""
    for node in (subgraph.graph.nodes[index] for index in indices):
        sources = [constant_sources(subgraph, name) or () for name in node.inputs if name]
        if node.kind == "norm" or any(len(found) > 1 for found in sources):
            return True
    return False


def differ(left: Array, right: Array, within: float = _RTOL) -> bool:
    """Whether two constants are not the same numbers."""
    return bool(_apart(left, right, within).any())


def _apart(left: Array, right: Array, within: float = _RTOL) -> Array:
    return ~np.isclose(_real(left), _real(right), rtol=within, atol=0, equal_nan=True)


def _real(array: Array) -> Array:
    return array.astype(np.float64) if array.dtype.kind in "biuf" else array


def relation(wrong: Array, right: Array) -> str | None:
    """Words for constants of several elements of which one follows from the other."""
    a, b = _real(wrong), _real(right)
    if not a.any():
        return "all zeros"
    if wrong.dtype.kind == "b" and (wrong != right).all():
        return "the inverse of the reference's"
    if np.isfinite(a).all() and np.isfinite(b).all() and relations.same_numbers(b, a):
        return "the reference's values in another order"
    return None


def how_far(wrong: Array, right: Array) -> str:
    """How many values differ, by how much at most, and where."""
    spread = np.broadcast_to(wrong, right.shape)
    apart = _apart(spread, right)
    count = round(float(apart.mean()) * wrong.size) or 1
    with np.errstate(all="ignore"):
        delta = np.where(apart, np.abs(_real(spread) - _real(right)), -1.0)
    at = tuple(int(i) for i in np.unravel_index(int(np.nan_to_num(delta, nan=np.inf).argmax()), delta.shape))
    place = f" at {list(at)}" if wrong.shape == right.shape else ""
    apart_by = relations.gap(_real(right), _real(spread)) if right.dtype.kind == "f" else math.inf
    share = f" (relative distance {apart_by:.2g})" if math.isfinite(apart_by) else ""
    text = f"{count} of {wrong.size} values {'differ' if count > 1 else 'differs'}{share}, most{place}: "
    factor = _factor(_real(spread), _real(right))
    text += f"{_number(spread[at])} instead of {_number(right[at])}"
    return text + (f"; all are {factor:.6g} times the reference's" if factor else "")


def _number(value: Any) -> str:
    return str(bool(value)).lower() if value.dtype.kind == "b" else f"{float(value):.6g}"


def _factor(wrong: Array, right: Array) -> float | None:
    energy = float(np.square(right).sum())
    if wrong.size < 2 or not 0 < energy < np.inf:
        return None
    factor = float((wrong * right).sum()) / energy
    return factor if factor and relations.gap(right * factor, wrong) <= relations.SAME else None
