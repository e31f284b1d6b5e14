"""Tensors that wait on disk: each in a file without a name, which goes with the last who looks at it."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import numpy as np

from aligner.errors import ComparisonError
from aligner.records.tensor import CapturedTensor


def put_aside(tensor: CapturedTensor) -> CapturedTensor:
    """The same tensor, its numbers in a memory-mapped scratch file.

    Raises ComparisonError where the disk does not take them.
    """
    array = tensor.array
    if not array.nbytes or array.dtype.hasobject:
        return tensor
    try:
        with tempfile.TemporaryFile(prefix="aligner-") as file:
            file.write(np.ascontiguousarray(array).data.cast("B"))
            file.flush()
            held = np.memmap(file, dtype=array.dtype, mode="r", shape=array.shape)
    except OSError as error:
        raise ComparisonError(
            "tensors do not fit into memory, and the scratch disk does not take them",
            found=f"{array.nbytes:,} bytes into {tempfile.gettempdir()}: {error.strerror or error}",
            hint="free some space, set TMPDIR to a larger disk, or raise --memory-limit",
        ) from error
    return replace(tensor, array=held)
