"""Which node makes a computed constant unlike the reference's: one that moves numbers, or that reads another weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import permutations

import numpy as np

from aligner.causes.constant_operands import MOST, ConstantOperand, differ
from aligner.numerics import relations
from aligner.operations.kinds import MOVES_DATA, RENAMED, SIZED
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph

Onward = Callable[[Array], Array]

_MOST_NODES = 8
"""Nodes back from a constant to the one that moved it wrongly: a limit of cost, each is tried in every order."""
_MOST_PARTS = 5
"""Axes or parts that are tried in every order: 5! = 120."""


@dataclass(frozen=True, slots=True, eq=False)
class Move:
    """A node of another setting, with which the constant would be the reference's; ``order`` is that setting."""

    node: Node
    order: tuple[int, ...]


def wrong_move(subgraph: Subgraph, operand: ConstantOperand, right: Array) -> Move | None:
    """The transposition or concatenation behind an operand whose other order gives the right numbers.

    Only moves lie between the two, so what the node made is read off the operand itself.
    """
    array, name = operand.array, operand.name
    if name is None or array.shape != right.shape or not relations.same_numbers(right, array):
        return None
    onward: Onward = lambda y: y.reshape(right.shape)  # noqa: E731 - grows with every node
    for _ in range(_MOST_NODES):
        node = subgraph.graph.producer(name)
        if node is None or node.kind not in MOVES_DATA:
            return None
        for order, other in _others(subgraph, node, array):
            if other.size == right.size and not differ(onward(other), right):
                return Move(node, order)
        before = _undone(subgraph, node, array)
        if before is None:
            return None
        onward, array, name = _after(node, array.shape, onward), before, node.inputs[0]
    return None


def _others(subgraph: Subgraph, node: Node, made: Array) -> Iterator[tuple[tuple[int, ...], Array]]:
    """What a node would have made with every other order of axes or parts."""
    if (
        node.kind == "transpose"
        and (before := _undone(subgraph, node, made)) is not None
        and before.ndim <= _MOST_PARTS
    ):
        for order in permutations(range(before.ndim)):
            if order != node.permutation(before.ndim):
                yield order, before.transpose(order)
    axis = node.attributes.get("axis")
    if node.kind != "concat" or not isinstance(axis, int) or not 2 <= len(node.inputs) <= _MOST_PARTS:
        return
    shapes = [subgraph.shape(name) for name in node.inputs]
    lengths = [shape[axis] if shape is not None and len(shape) == made.ndim else None for shape in shapes]
    known = [length or made.shape[axis] // len(lengths) for length in lengths]
    if sum(known) != made.shape[axis]:
        return
    parts = np.split(made, np.cumsum(known)[:-1], axis=axis)
    for order in permutations(range(len(parts))):
        if order != tuple(range(len(parts))):
            yield order, np.concatenate([parts[k] for k in order], axis=axis)


def _undone(subgraph: Subgraph, node: Node, made: Array) -> Array | None:
    """What a node that only moves numbers has read, from what it made; None where that is not known."""
    if node.kind in RENAMED | {"cast"}:
        return made
    if node.kind == "transpose":
        axes = node.permutation(made.ndim)
        return None if axes is None else made.transpose(sorted(axes, key=axes.__getitem__))
    shape = subgraph.shape(node.inputs[0]) if node.kind == "reshape" else None
    if shape is None or None in shape:
        return None
    sizes = [int(length or 0) for length in shape]
    return made.reshape(sizes) if math.prod(sizes) == made.size else None


def _after(node: Node, shape: tuple[int, ...], onward: Onward) -> Onward:
    if node.kind == "transpose":
        return lambda y: onward(y.transpose(node.permutation(y.ndim)))
    return lambda y: onward(y.reshape(shape))


def first_apart(culprit: Culprit, mine: str, theirs: str) -> Node | None:
    """The first node on the way to a constant that reads numbers of the reference's way, and makes none of them; where
    all such read a stored tensor that is not on that way, the first of these.

    Both are looked at as sets of numbers: in what order a format keeps them says nothing.
    """
    end = culprit.reference.array(theirs)
    known = [array for _, arrays in _way(culprit.reference, theirs) for array in arrays]
    known += [end] if end is not None else []
    reads_another: Node | None = None
    for node, (made, *read) in _way(culprit.candidate, mine):
        held = [any(relations.same_numbers(array, each) for each in known) for array in (made, *read)]
        if not held[0] and all(held[1:]):
            return node
        reads_another = reads_another or (None if held[0] else node)
    return reads_another


def _way(subgraph: Subgraph, name: str) -> list[tuple[Node, list[Array]]]:
    """The nodes that a constant is computed by, in order, each with the tensors that it makes and reads."""
    names, found = [name], dict[int, tuple[Node, list[Array]]]()
    while names:
        node = subgraph.graph.producer(names.pop())
        if node is None or node.index in found or not node.inputs or node.kind == "shape":
            continue
        arrays = [subgraph.array(name) for name in (node.outputs[0], *node.inputs) if name]
        if arrays[0] is not None and len(found) < MOST:
            # a single number is a setting, written into the node on the other side
            found[node.index] = node, [arrays[0], *(each for each in arrays[1:] if each is not None and each.size > 1)]
            # what says how to move or to cut is a setting, too
            names += node.inputs[:1] if node.kind in SIZED else node.inputs
    return [found[index] for index in sorted(found)]


@dataclass(frozen=True, slots=True, eq=False)
class WrongWeight:
    """The one weight on the way to a constant that the reference does not hold, and the node that reads it."""

    node: Node
    name: str
    right: str
    zeros: bool


def wrong_weight(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand) -> WrongWeight | None:
    """What two constants are made of, where all of the reference's is alike but one weight, and one fits its size."""
    sides = []
    for one, subgraph in ((mine, culprit.candidate), (theirs, culprit.reference)):
        weights = {name: array for name in one.sources if (array := subgraph.weight(name)) is not None}
        sides.append({name: array for name, array in weights.items() if array.dtype.kind == "f"})
    strange = [
        [name for name, array in own.items() if not _held(array, list(own.values()), list(other.values()))]
        for own, other in (sides, sides[::-1])
    ]
    fitting = [(a, b) for a in strange[0] for b in strange[1] if sides[0][a].size == sides[1][b].size]
    if len(fitting) != 1 or len(strange[1]) != 1:
        return None
    wrong, right = fitting[0]
    node = next(iter(culprit.candidate.graph.readers(wrong)), None)
    if node is None:
        return None
    names = [subgraph.graph.weights[n].name for subgraph, n in ((culprit.candidate, wrong), (culprit.reference, right))]
    return WrongWeight(node, names[0], names[1], not sides[0][wrong].any() and bool(sides[1][right].any()))


def _held(array: Array, own: list[Array], others: list[Array]) -> bool:
    """Whether the other side has these numbers, as they are or as a piece of something that only it holds whole."""
    if any(relations.same_numbers(array, each) for each in others):
        return True
    if not array.any():
        whole = {each.size for each in own if not each.any()}
        return any(each.size not in whole and not each.any() for each in others)
    return bool(others) and bool(np.isin(array, np.concatenate([each.reshape(-1) for each in others])).all())
