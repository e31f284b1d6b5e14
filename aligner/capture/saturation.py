"""What a quantised tensor cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def clipped(values: NDArray[Any], holder: CapturedTensor) -> tuple[Array, float]:
    """One side's values clipped to what the other's per-tensor quantised tensor holds, and the share 1.5 steps outside.

    Anything else comes back as it is, with a share of 0.
    """
    import numpy as np

    quantization = holder.quantization
    if quantization is None or len(quantization.scale) != 1 or holder.array.dtype.kind not in "iu":
        return values, 0.0
    limits = np.iinfo(holder.array.dtype)  # type: ignore[type-var]
    ends = quantization.dequantize(np.array([limits.min, limits.max], dtype=holder.array.dtype))
    margin = 1.5 * quantization.scale[0]
    outside = (values < float(ends[0]) - margin) | (values > float(ends[1]) + margin)
    share = float(outside.mean()) if outside.size else 0.0
    return (np.clip(values, ends[0], ends[1]), share) if share else (values, 0.0)
