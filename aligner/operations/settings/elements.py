"""Functions of one element that have constants."""

from __future__ import annotations

from dataclasses import dataclass

from aligner.operations.settings.base import Settings, of


@of("clip")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clip(Settings):
    """Limits, infinite where there is none."""

    min: float
    max: float


@of("leaky_relu", "elu", "celu")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slope(Settings):
    """Of what is negative."""

    alpha: float


@of("silu")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Swish(Settings):
    """x · sigmoid(alpha · x)."""

    alpha: float = 1.0


@of("selu")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selu(Slope):
    """scale · elu."""

    scale: float


@of("gelu", "erf")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Approximated(Settings):
    """none, tanh or quick."""

    approximate: str = "none"


@of("hardsigmoid", "hardswish")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HardSigmoid(Slope):
    """max(0, min(1, alpha · x + beta))."""

    beta: float


@of("softplus")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Softplus(Settings):
    """Beyond the threshold the input itself."""

    beta: float = 1.0
    threshold: float | None = None


@of("threshold")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Threshold(Settings):
    """``value`` up to the threshold."""

    threshold: float
    value: float


@of("shrink")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shrink(Settings):
    """0 within ±lambd, beyond nearer to it by ``bias``."""

    lambd: float
    bias: float


@of("isinf_signed")
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Infinite(Settings):
    """Which infinities count."""

    positive: bool = True
    negative: bool = True
