"""What sums up along axes, picks elements and orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aligner.operations.settings.base import Along, Settings

if TYPE_CHECKING:
    Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduce(Settings):
    """``correction`` is what a variance's divisor lacks; ``with_mean`` answers the mean beside it."""

    form: str
    axes: Sizes
    keep: bool
    correction: float = 0.0
    with_mean: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunningSum(Along):
    """From either end, with the element itself or without."""

    reverse: bool = False
    exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Cumulate(RunningSum):
    """``form`` is numpy's word for the function of two."""

    form: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArgMax(Settings):
    """Of the flattened tensor where the axis is None; ``last`` of equals."""

    axis: int | None
    largest: bool
    keep: bool
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sort(Along):
    """The first ``count``, all where that is None."""

    largest: bool
    count: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slice(Settings):
    """(axis, start, end, step) of each axis that is cut."""

    places: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Index(Settings):
    """What stands between numpy's brackets."""

    index: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatherNd(Settings):
    """``batch`` axes in front are shared."""

    batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatterNd(Settings):
    """What becomes of a place named twice."""

    reduction: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScatterElements(Along):
    """What becomes of a place named twice."""

    reduction: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OneHot(Along):
    """``wrap``: negative indices count from the end."""

    depth: int
    wrap: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NonZero(Settings):
    """[rank, count] where ``turned``, else [count, rank]."""

    turned: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Triangle(Settings):
    """Above or below a diagonal."""

    upper: bool
    diagonal: int = 0
