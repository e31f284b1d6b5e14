"""Axes split into other factors: the number of heads, the groups of a channel shuffle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.operations.operation import Operation
from aligner.operations.settings import Attention, Reshape
from aligner.records.array import Array
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.subgraph import Change, Subgraph

_MOST = 24
"""Ways to split an axis that are tried."""


class AxisSplit(Cause):
    """An axis is split into other factors than the reference's: another number of heads or of groups."""

    id: ClassVar[str] = "axis-split"
    fix: ClassVar[str] = "split the axis into the reference's factors: the number of heads or groups"
    resizes_axes: ClassVar[bool] = True
    example: ClassVar[str] = "view(b, t, 8, -1) for view(b, t, 4, -1); a channel shuffle of 4 groups for 2"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every other pair of factors, at all reshapes of a region that split alike."""
        for subgraph in culprit.subgraphs:
            splits: dict[tuple[int, int], dict[int, tuple[int, ...]]] = {}
            for _, node, operation in (each for each in culprit.nodes("reshape") if each[0] is subgraph):
                if not isinstance(operation.settings, Reshape):
                    continue
                shape = operation.settings.shape
                place = _split(operation.data[0].shape, shape)
                if place is not None:
                    splits.setdefault((shape[place], shape[place + 1]), {})[node.index] = shape
            for own, shapes in splits.items():
                for other in _factors(math.prod(own), own):
                    yield self._at_reshapes(culprit, subgraph.side, own, other, shapes, {})
                    scales = _scales(culprit, subgraph, own[1], other[1])
                    if scales:
                        yield self._at_reshapes(culprit, subgraph.side, own, other, shapes, scales)
        yield from self._of_heads(culprit)

    def _at_reshapes(
        self,
        culprit: Culprit,
        side: int,
        own: tuple[int, int],
        other: tuple[int, int],
        shapes: dict[int, tuple[int, ...]],
        scales: Mapping[int, Callable[[Operation], Operation]],
    ) -> Claim:
        edits = {**{index: _reshaped(shape, own, other) for index, shape in shapes.items()}, **scales}
        others = [one.settings for subgraph, _, one in culprit.nodes("reshape") if subgraph.side != side]
        there = {settings.shape for settings in others if isinstance(settings, Reshape)}
        wrong, right = (other, own) if side == 0 else (own, other)
        node = culprit.graphs[1].nodes[next(iter(shapes))].name if side else culprit.where
        claim = self._claim(node, wrong, right, Counterfactual(culprit, side, Change(edits)))
        return replace(claim, borrowed=all(_replaced(shape, own, other) in there for shape in shapes.values()))

    def _of_heads(self, culprit: Culprit) -> Iterator[Claim]:
        """The reference's attention on its operands in as many heads as the candidate's works with."""
        for subgraph, node, operation in culprit.nodes("attention"):
            partner = culprit.partner(subgraph, node)
            if subgraph is not culprit.reference or partner is None:
                continue
            (right, wrong), other = map(_heads, (operation, partner[1])), partner[1].read(Attention)
            if right != wrong and math.prod(right) == math.prod(wrong) and _one_for_all(operation):
                data = (_in_heads(array, wrong[0]) for array in operation.data)
                changed = operation.with_data(*data).with_settings(scale=other.scale)
                claim = self._claim(partner[0].name, wrong, right, culprit.replaced(subgraph, node, changed))
                yield replace(claim, borrowed=True)

    @staticmethod
    def _claim(node: str, wrong: tuple[int, int], right: tuple[int, int], predict: Counterfactual) -> Claim:
        words = f"an axis of {math.prod(right)}"
        return Claim(
            f"{node} works with {words} split into {wrong[0]} × {wrong[1]}, the reference with {right[0]} × {right[1]}",
            f"split {words} into {right[0]} × {right[1]}: the number of heads or groups is another",
            f"with {right[0]} × {right[1]} instead of {wrong[0]} × {wrong[1]}",
            predict,
            node=node,
        )


def _scales(culprit: Culprit, subgraph: Subgraph, own: int, other: int) -> dict[int, Callable[[Operation], Operation]]:
    """What is multiplied or divided by the root of the heads' width, by that of another width."""
    edits: dict[int, Callable[[Operation], Operation]] = {}
    for one, node, operation in culprit.nodes("mul", "div"):
        place = next((at for at, array in enumerate(operation.data) if array.size == 1), None)
        if one is not subgraph or place is None:
            continue
        number = float(operation.data[place].reshape(()))
        for power in (0.5, -0.5):
            if math.isclose(number, own**power, rel_tol=1e-6):  # float32 keeps seven digits of a root
                edits[node.index] = partial(_with_number, place=place, number=other**power)
    return edits


def _with_number(operation: Operation, place: int, number: float) -> Operation:
    """Another number in the place of an operand of one."""
    data = list(operation.data)
    data[place] = data[place] * 0 + data[place].dtype.type(number)
    return operation.with_data(*data)


def _heads(operation: Operation) -> tuple[int, int]:
    """How many heads of which width an attention works with; its operands are [..., heads, length, width]."""
    shape = operation.data[0].shape
    return (shape[-3], shape[-1]) if len(shape) > 3 else (1, shape[-1])


def _one_for_all(operation: Operation) -> bool:
    """Whether all operands have as many heads, and a mask is the same for each."""
    mask = operation.parameters.get("mask")
    counts = {array.shape[-3] for array in operation.data if array.ndim > 3}
    return len(counts) == 1 and (mask is None or mask.ndim < 3 or mask.shape[-3] == 1)


def _in_heads(array: Array, count: int) -> Array:
    """[..., heads, length, width], with the same numbers of each place in another number of heads."""
    beside: Array = array.swapaxes(-3, -2)
    split: Array = beside.reshape(*beside.shape[:-2], count, -1).swapaxes(-3, -2)
    return split


def _split(before: tuple[int, ...], after: tuple[int, ...]) -> int | None:
    """Where one axis has become two, the others being the same."""
    if len(after) != len(before) + 1:
        return None
    for place, size in enumerate(before):
        if after[place] * after[place + 1] == size and after[:place] == before[:place]:
            return place if after[place + 2 :] == before[place + 1 :] else None
    return None


def _factors(size: int, own: tuple[int, int]) -> Iterator[tuple[int, int]]:
    found = [(a, size // a) for a in range(2, size) if size % a == 0 and (a, size // a) != own]
    yield from found[:_MOST]


def _reshaped(shape: tuple[int, ...], own: tuple[int, int], other: tuple[int, int]) -> Callable[[Operation], Operation]:
    changed = _replaced(shape, own, other)
    return lambda operation: operation.with_settings(shape=changed)


def _replaced(shape: tuple[int, ...], own: tuple[int, int], other: tuple[int, int]) -> tuple[int, ...]:
    place = next(at for at in range(len(shape) - 1) if shape[at : at + 2] == own)
    return (*shape[:place], *other, *shape[place + 2 :])
