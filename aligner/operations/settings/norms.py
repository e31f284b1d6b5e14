"""Normalisations and softmax."""

from __future__ import annotations

from dataclasses import dataclass

from aligner.operations.settings.base import Along, Pair, Settings, Sizes, of


@of("norm")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Norm(Settings):
    """``axis`` is the channels'."""

    form: str
    epsilon: float
    axis: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchNorm(Norm):
    """By stored statistics, or by the batch's own."""

    form: str = "batch"
    training: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InstanceNorm(Norm):
    """By each image's own statistics."""

    form: str = "instance"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupNorm(Norm):
    """By the statistics of groups of channels."""

    form: str = "group"
    groups: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerNorm(Norm):
    """Over the axes named; the variance divides by the count less ``correction``."""

    form: str = "layer"
    axes: Sizes
    correction: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RmsNorm(Norm):
    """Over the axes named, the mean left in."""

    form: str = "rms"
    axes: Sizes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LengthNorm(Norm):
    """By the norm of an order along axes, ``epsilon`` at least (its square where ``squared``)."""

    form: str = "length"
    axes: Sizes
    order: int = 2
    squared: bool = False


@of("response_norm")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseNorm(Settings):
    """x / (bias + alpha · Σ x²)^beta over (before, after) neighbours among the channels."""

    neighbours: Pair
    alpha: float
    beta: float
    bias: float
    channels: str


@of("softmax", "log_softmax")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Softmax(Along):
    """Of beta · x."""

    beta: float = 1.0
