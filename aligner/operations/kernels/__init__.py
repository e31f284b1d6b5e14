"""Recompute an operation from its kind, settings and parameters; importing this package registers every kernel."""

from aligner.operations.kernels import (
    activation,
    arithmetic,
    attending,
    convolution,
    making,
    moving,
    normalising,
    picking,
    pooling,
    products,
    recurrence,
    reductions,
    resizing,
    sampling,
    spectral,
)

__all__ = [
    "activation",
    "arithmetic",
    "attending",
    "convolution",
    "making",
    "moving",
    "normalising",
    "picking",
    "pooling",
    "products",
    "recurrence",
    "reductions",
    "resizing",
    "sampling",
    "spectral",
]
