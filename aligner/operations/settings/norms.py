"""Normalisations and softmax."""

from __future__ import annotations

from aligner.operations.settings.base import Along, Pair, Settings, Sizes, of


@of("norm")
class Norm(Settings):
    """``axis`` is the channels'."""

    form: str
    epsilon: float
    axis: int


@of()
class BatchNorm(Norm):
    """By stored statistics, or by the batch's own."""

    form: str = "batch"
    training: bool = False


@of()
class InstanceNorm(Norm):
    """By each image's own statistics."""

    form: str = "instance"


@of()
class GroupNorm(Norm):
    """By the statistics of groups of channels."""

    form: str = "group"
    groups: int


@of()
class LayerNorm(Norm):
    """Over the axes named; the variance divides by the count less ``correction``."""

    form: str = "layer"
    axes: Sizes
    correction: float = 0.0


@of()
class RmsNorm(Norm):
    """Over the axes named, the mean left in."""

    form: str = "rms"
    axes: Sizes


@of()
class LengthNorm(Norm):
    """By the norm of an order along axes, ``epsilon`` at least (its square where ``squared``)."""

    form: str = "length"
    axes: Sizes
    order: int = 2
    squared: bool = False


@of("response_norm")
class ResponseNorm(Settings):
    """x / (bias + alpha · Σ x²)^beta over (before, after) neighbours among the channels."""

    neighbours: Pair
    alpha: float
    beta: float
    bias: float
    channels: str


@of("softmax", "log_softmax")
class Softmax(Along):
    """Of beta · x."""

    beta: float = 1.0
