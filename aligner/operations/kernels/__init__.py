"""Recompute an operation from its kind, settings and parameters; importing this package registers every kernel."""

from aligner.operations.kernels import (
    activation,
    arithmetic,
    attending,
    convolution,
    moving,
    normalising,
    pooling,
    recurrence,
    resizing,
)

__all__ = [
    "activation",
    "arithmetic",
    "attending",
    "convolution",
    "moving",
    "normalising",
    "pooling",
    "recurrence",
    "resizing",
]
