"""What a quantised tensor cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def clipped(reference: NDArray[Any], found: CapturedTensor) -> tuple[Array, float]:
    """The reference clipped to the range of a per-tensor quantised tensor, and the share more than 1.5 steps outside.

    Anything else comes back as it is, with a share of 0.
    """
    import numpy as np

    quantization = found.quantization
    if quantization is None or len(quantization.scale) != 1 or found.array.dtype.kind not in "iu":
        return reference, 0.0
    limits = np.iinfo(found.array.dtype)  # type: ignore[type-var]
    ends = quantization.dequantize(np.array([limits.min, limits.max], dtype=found.array.dtype))
    margin = 1.5 * quantization.scale[0]
    outside = (reference < float(ends[0]) - margin) | (reference > float(ends[1]) + margin)
    share = float(outside.mean()) if outside.size else 0.0
    return (np.clip(reference, ends[0], ends[1]), share) if share else (reference, 0.0)
