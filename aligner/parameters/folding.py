"""What a converter makes of a layer and the factors and summands behind it: one kernel and one bias."""

from __future__ import annotations

import numpy as np

from aligner.numerics import relations
from aligner.operations.layouts import axis_of
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchNorm, TransposedConvolution
from aligner.records.array import Array

FOLDED = 1e-5
"""Gap up to which a kernel is another one times a number for each output: folded in float32, in another order."""


def output_axis(operation: Operation, kernel: Array) -> int | None:
    """The axis of a canonical kernel along which outputs lie; None for grouped transposed convolutions."""
    settings, axis = operation.settings, axis_of(operation.kind, "kernel", "out") or 0
    grouped = isinstance(settings, TransposedConvolution) and settings.groups != 1
    return None if grouped or axis >= kernel.ndim else axis


def scaled(kernel: Array, scale: Array, axis: int) -> Array:
    """A kernel times a vector along one axis."""
    across = [1] * kernel.ndim
    across[axis] = scale.size
    return kernel * scale.reshape(across)


def as_affine(norm: Operation) -> tuple[Array, Array] | None:
    """The factor and the summand, one for each channel, that a normalisation by stored statistics amounts to."""
    settings = norm.settings
    if not isinstance(settings, BatchNorm) or settings.training or "mean" not in norm.parameters:
        return None
    p = {name: array.astype(np.float64).reshape(-1) for name, array in norm.parameters.items()}
    scale = np.atleast_1d(p.get("scale", 1.0) / np.sqrt(np.abs(p["variance"]) + settings.epsilon))
    return scale, p.get("shift", 0.0) - p["mean"] * scale


def output_factors(left: Array, right: Array, axis: int, within: float = FOLDED) -> Array | None:
    """The number for each output that makes one kernel into the other, by least squares; None where none does."""
    if left.shape != right.shape or not left.size or left.size == left.shape[axis]:
        return None  # of one number for each output everything is a factor
    a, b = (np.moveaxis(each, axis, 0).reshape(each.shape[axis], -1).astype(np.float64) for each in (left, right))
    factors: Array = (a * b).sum(axis=1) / np.maximum((a * a).sum(axis=1), 1e-30)
    return factors if relations.gap(b, a * factors[:, None]) <= within else None
