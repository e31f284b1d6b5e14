"""The type that numbers were in before they were written as float32, as tools do that have no bfloat16."""

from __future__ import annotations

import numpy as np

from aligner.records.array import Array

_TELLING = 64
"""Different numbers by which a type is told: each lies on a grid of 2⁻³ of the numbers by chance."""
_LOOKED_AT = 1 << 16
"""Elements that are looked at; different ones are few in what was written with few bits."""
_TO_BFLOAT16, _TO_FLOAT16 = 0xFFFF, 0x1FFF
"""Bits of a float32 that numbers of the narrower types leave at 0."""


def written_from(array: Array, common: str | None = None) -> str | None:
    """The narrower type that float32 numbers were in before they were written; None where they were in none.

    They tell by what they are: numbers of bfloat16 and float16 use the upper 16 and 19 bits alone. Where there are too
    few to tell, they may be of the type ``common`` to the dump.
    """
    if array.dtype != np.float32:
        return None
    flat = array.ravel()[:: max(1, array.size // _LOOKED_AT)]
    flat = np.unique(flat[np.isfinite(flat) & (flat != 0)])
    bits = int(np.bitwise_or.reduce(flat.view(np.uint32), initial=0))
    with np.errstate(over="ignore"):
        half = not bits & _TO_FLOAT16 and bool((flat.astype(np.float16) == flat).all())
    fitting = [*(["bfloat16"] if not bits & _TO_BFLOAT16 else []), *(["float16"] if half else [])]
    if flat.size < _TELLING:
        return common if common in fitting else None
    return fitting[0] if fitting else None
