"""Move tensors by what rounding could have done to them; the number that stands for "masked" is no result of any."""

from __future__ import annotations

import numpy as np

from aligner.execution.injection import Perturbation
from aligner.numerics.masking import MASKED, MOST_UNMASKED
from aligner.records.array import Array
from aligner.records.graph import Quantization


def rounding_units(seed: int, units: float = 1.0) -> Perturbation:
    """A perturbation by rounding units: relative and normal for floats, within half a step for quantised values.

    The same seed with ``units`` of the other sign moves every float the other way.
    """
    generator = np.random.default_rng(seed)

    def perturb(array: Array, quantization: Quantization | None) -> Array:
        if array.dtype.kind != "f":
            return array
        if quantization is not None and quantization.step:
            shift: Array = generator.random(array.shape, dtype=np.float32) - 0.5
            return np.asarray(array + quantization.step * shift)
        unit = units * float(np.finfo(array.dtype).eps) / 2
        with np.errstate(all="ignore"):
            moved: Array = array + array * (unit * generator.standard_normal(array.shape, dtype=np.float32))
        return np.asarray(np.where(_is_computed(array), moved, array), dtype=array.dtype)

    return perturb


def _is_computed(array: Array) -> Array | bool:
    """Which elements are neither infinite nor a mask's number; True for all."""
    if not array.size or (array.min() > MASKED and np.isfinite(array.max())):
        return True
    finite: Array = np.isfinite(array)
    beside: Array = finite & (array > MASKED)
    within = float(np.abs(array[beside]).max(initial=0.0)) <= MOST_UNMASKED
    return beside if within else finite
