"""What sums up along axes, picks elements and orders them."""

from __future__ import annotations

from typing import Any

from aligner.operations.settings.base import Along, Settings, Sizes, of


@of("reduce")
class Reduce(Settings):
    """``correction`` is what a variance's divisor lacks; ``with_mean`` answers the mean beside it."""

    form: str
    axes: Sizes
    keep: bool
    correction: float = 0.0
    with_mean: bool = False


@of("cumsum")
class RunningSum(Along):
    """From either end, with the element itself or without."""

    reverse: bool = False
    exclusive: bool = False


@of("cumulate")
class Cumulate(RunningSum):
    """``form`` is numpy's word for the function of two."""

    form: str


@of("argmax")
class ArgMax(Settings):
    """Of the flattened tensor where the axis is None; ``last`` of equals."""

    axis: int | None
    largest: bool
    keep: bool
    last: bool = False


@of("sort")
class Sort(Along):
    """The first ``count``, all where that is None."""

    largest: bool
    count: int | None = None


@of("slice")
class Slice(Settings):
    """(axis, start, end, step) of each axis that is cut."""

    places: tuple[tuple[int, int, int, int], ...]


@of("index", "put")
class Index(Settings):
    """What stands between numpy's brackets."""

    index: tuple[Any, ...]


@of("gather_nd")
class GatherNd(Settings):
    """``batch`` axes in front are shared."""

    batch: int = 0


@of("scatter_nd")
class ScatterNd(Settings):
    """What becomes of a place named twice."""

    reduction: str


@of("scatter_elements")
class ScatterElements(Along):
    """What becomes of a place named twice."""

    reduction: str


@of("one_hot")
class OneHot(Along):
    """``wrap``: negative indices count from the end."""

    depth: int
    wrap: bool


@of("nonzero")
class NonZero(Settings):
    """[rank, count] where ``turned``, else [count, rank]."""

    turned: bool


@of("triangle")
class Triangle(Settings):
    """Above or below a diagonal."""

    upper: bool
    diagonal: int = 0
