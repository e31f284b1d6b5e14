"""Rounding units of floating-point types, and where the narrowest of them ends."""

from __future__ import annotations

from functools import lru_cache

from aligner.records.dtypes import plain_dtype

UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "complex64": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half a unit in the last place of 1.0 (IEEE 754; bfloat16 has eight bits of significand)."""
SUBNORMAL = {"float16": 2.0**-24}
"""The smallest number above zero, where tensors of a network come near it."""
HALF_MAX = 65504.0
"""The largest number of float16 (IEEE 754): (2 − 2⁻¹⁰) · 2¹⁵."""


@lru_cache(maxsize=64)
def unit(dtype: str | None) -> float:
    """Of a dtype by any framework's word; what is no float, or a finer one, counts as float32."""
    return max(UNITS.get(plain_dtype(dtype or "float32"), UNITS["float32"]), UNITS["float32"])
