"""A tensor caught while a model ran."""

from __future__ import annotations

from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization


@dataclass(frozen=True, slots=True, eq=False)
class CapturedTensor:
    """One observed value; the array is read-only, and its memory is written to by nobody any more.

    ``value`` is the id of the graph's Value. ``dtype`` is the framework's own word: bfloat16 arrives as a float32
    array, ``dtype`` says "bfloat16". Quantised tensors arrive as stored (int8 …) with their ``quantization``.
    ``occurrence`` counts from 0 where a value is computed several times in one run (loops).
    """

    value: str
    array: Array
    dtype: str
    quantization: Quantization | None = None
    occurrence: int = 0

    def real(self) -> Array:
        """The real values: quantised tensors as float32, everything else as captured."""
        quantization = self.quantization
        if quantization is None or not quantization.scale or self.array.dtype.kind not in "iu":
            return self.array
        return quantization.dequantize(self.array)
