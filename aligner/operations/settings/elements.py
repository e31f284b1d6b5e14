"""Functions of one element that have constants."""

from __future__ import annotations

from aligner.operations.settings.base import Settings, of


@of("clip")
class Clip(Settings):
    """Limits, infinite where there is none."""

    min: float
    max: float


@of("leaky_relu", "elu", "celu")
class Slope(Settings):
    """Of what is negative."""

    alpha: float


@of("silu")
class Swish(Settings):
    """x · sigmoid(alpha · x)."""

    alpha: float = 1.0


@of("selu")
class Selu(Slope):
    """scale · elu."""

    scale: float


@of("gelu", "erf")
class Approximated(Settings):
    """none, tanh or quick."""

    approximate: str = "none"


@of("hardsigmoid", "hardswish")
class HardSigmoid(Slope):
    """max(0, min(1, alpha · x + beta))."""

    beta: float


@of("softplus")
class Softplus(Settings):
    """Beyond the threshold the input itself."""

    beta: float = 1.0
    threshold: float | None = None


@of("threshold")
class Threshold(Settings):
    """``value`` up to the threshold."""

    threshold: float
    value: float


@of("shrink")
class Shrink(Settings):
    """0 within ±lambd, beyond nearer to it by ``bias``."""

    lambd: float
    bias: float


@of("isinf_signed")
class Infinite(Settings):
    """Which infinities count."""

    positive: bool = True
    negative: bool = True
