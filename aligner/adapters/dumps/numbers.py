"""The numbers of a dumped tensor, where a file may hold nothing but bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.adapters.dumps.dump import DumpedTensor, size_of
from aligner.errors import ModelFormatError
from aligner.records.graph import Value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_BY_WIDTH = {8: "float64", 4: "float32", 2: "float16", 1: "uint8"}
"""What bytes hold where neither the dump nor the model says so: writers of raw files write floats."""


def stored_dtype(tensor: DumpedTensor, value: Value) -> str | None:
    """The type of raw bytes: the model's where the width is its, a float of the width otherwise; None if unknown."""
    shape = value.shape
    if tensor.dtype is not None or tensor.nbytes is None or shape is None or None in shape:
        return tensor.dtype
    count = size_of([size for size in shape if size is not None])
    if not count or tensor.nbytes % count:
        return None
    import numpy as np

    width = tensor.nbytes // count
    own = (value.dtype or "").removeprefix("torch.")
    if own == "bfloat16" and width == 2:
        return own
    try:
        if np.dtype(own).itemsize == width:
            return own
    except TypeError:
        pass
    return _BY_WIDTH.get(width)


def numbers(tensor: DumpedTensor, stored: Array, value: Value, path: Path) -> tuple[Array, str]:
    """The array, as its dtype says or the model's shape; and that dtype.

    Raises ModelFormatError where the bytes are not as many as the model's shape takes.
    """
    import numpy as np

    if tensor.shape is not None:
        return stored.view(), tensor.dtype or stored.dtype.name
    dtype = stored_dtype(tensor, value)
    if dtype is None:
        raise ModelFormatError(
            f"a tensor of {path} does not have the size that its model gives it",
            found=f'"{tensor.name}": {tensor.nbytes} bytes for the shape {value.shape}',
            hint="dump again with the input size of the comparison, or name the model that was dumped",
        )
    if dtype == "bfloat16":
        return (stored.view("<u2").astype(np.uint32) << np.uint32(16)).view(np.float32), dtype
    return stored.view(np.dtype(dtype).newbyteorder("<")), dtype
