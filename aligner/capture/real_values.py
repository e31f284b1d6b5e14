"""Between stored tensors and the real numbers they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aligner.records.graph import Quantization
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def real(tensor: CapturedTensor) -> Array:
    """The tensor's real values: quantised ones as float32, everything else as captured."""
    quantization = tensor.quantization
    if quantization is None or not quantization.scale or tensor.array.dtype.kind not in "iu":
        return tensor.array
    return dequantize(tensor.array, quantization)


def dequantize(array: Array, quantization: Quantization) -> Array:
    """scale · (stored − zero_point), float32."""
    import numpy as np

    scale, zero = _broadcast(quantization, array.ndim)
    return ((array.astype(np.float64) - zero) * scale).astype(np.float32)


def quantize(array: Array, quantization: Quantization, dtype: np.dtype[np.generic]) -> Array:
    """The nearest stored values, clipped to the range of the integer ``dtype``."""
    import numpy as np

    scale, zero = _broadcast(quantization, array.ndim)
    limits = np.iinfo(dtype)
    stored = np.rint(array.astype(np.float64) / scale) + zero
    return np.clip(stored, limits.min, limits.max).astype(dtype)


def _broadcast(quantization: Quantization, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    scale = np.asarray(quantization.scale, dtype=np.float64)
    zero = np.asarray(quantization.zero_point or (0,), dtype=np.float64)
    if scale.size == 1 or quantization.axis is None:
        return scale.reshape(-1)[:1], zero.reshape(-1)[:1]
    shape = [1] * rank
    shape[quantization.axis] = scale.size
    return scale.reshape(shape), zero.reshape(shape) if zero.size == scale.size else zero.reshape(-1)[:1]
