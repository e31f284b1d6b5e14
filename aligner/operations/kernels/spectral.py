"""Fourier transforms; complex numbers are values like any other."""

from __future__ import annotations

import numpy as np

from aligner.operations.operation import Operation, computes, computes_by
from aligner.operations.settings import Fft
from aligner.records.array import Array


@computes_by(Fft, "fft")
def transform(operation: Operation, settings: Fft) -> Array:
    """``form``: fft, ifft, rfft (real to half a spectrum), irfft (back); lengths and axes as numpy means them.

    ``pairs`` says that complex numbers are written as a last axis of two.
    """
    x = operation.data[0]
    if settings.pairs and settings.complex_input:
        x = x[..., 0] + 1j * x[..., 1]
    elif settings.pairs:
        x = x[..., 0]
    function = getattr(np.fft, {"fft": "fftn", "ifft": "ifftn", "rfft": "rfftn", "irfft": "irfftn"}[settings.form])
    found = function(x, s=settings.lengths, axes=settings.axes, norm=settings.norm)
    if settings.pairs and np.iscomplexobj(found):
        return np.stack([found.real, found.imag], axis=-1)
    if settings.pairs:
        return np.asarray(found[..., None])
    return np.asarray(found)


@computes("real", "imag", "angle", "conjugate", "complex_pairs", "pairs_complex")
def part(operation: Operation) -> Array:
    """The parts of complex numbers, and complex numbers from a last axis of two and back."""
    x = operation.data[0]
    if operation.kind == "pairs_complex":
        joined: Array = x[..., 0] + 1j * x[..., 1]
        return joined
    if operation.kind == "complex_pairs":
        return np.stack([x.real, x.imag], axis=-1)
    return np.asarray(getattr(np, operation.kind)(x))
