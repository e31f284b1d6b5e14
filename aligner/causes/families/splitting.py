"""Axes split into other factors: the number of heads, the groups of a channel shuffle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.operations.operation import Operation
from aligner.operations.settings import Reshape
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.subgraph import Change

_MOST = 24
"""Ways to split an axis that are tried."""


class AxisSplit(Cause):
    """An axis is split into other factors than the reference's: another number of heads or of groups."""

    id: ClassVar[str] = "axis-split"
    fix: ClassVar[str] = "split the axis into the reference's factors: the number of heads or groups"
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
                    yield self._claim(culprit, subgraph.side, own, other, shapes)

    @staticmethod
    def _claim(
        culprit: Culprit, side: int, own: tuple[int, int], other: tuple[int, int], shapes: dict[int, tuple[int, ...]]
    ) -> Claim:
        wrong, right = (other, own) if side == 0 else (own, other)
        edits = {index: _reshaped(shape, own, other) for index, shape in shapes.items()}
        others = [one.settings for subgraph, _, one in culprit.nodes("reshape") if subgraph.side != side]
        there = {settings.shape for settings in others if isinstance(settings, Reshape)}
        words = f"an axis of {math.prod(own)}"
        node = culprit.graphs[1].nodes[next(iter(shapes))].name if side else culprit.where
        return Claim(
            f"{node} works with {words} split into {wrong[0]} × {wrong[1]}, the reference with {right[0]} × {right[1]}",
            f"split {words} into {right[0]} × {right[1]}: the number of heads or groups is another",
            f"with {right[0]} × {right[1]} instead of {wrong[0]} × {wrong[1]}",
            Counterfactual(culprit, side, Change(edits)),
            node=node,
            borrowed=all(_replaced(shape, own, other) in there for shape in shapes.values()),
        )


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
