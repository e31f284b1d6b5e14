"""The runtime: programs loaded and run, its errors made ours."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import Any

import numpy as np

from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.program_file import torch_dtype
from aligner.errors import ModelExecutionError, UnsupportedModelError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass


def version() -> str:
    """ "1.5.1"."""
    return metadata.version("executorch").partition("+")[0]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A program in the runtime, which reads ``data`` in place: it must outlive the module."""

    data: bytes
    module: Any
    method: str

    def run(self, tensors: Sequence[Any]) -> list[Array]:
        """Tensors in the order of the inputs; the outputs, in memory of their own."""
        import torch

        from aligner.adapters.pytorch_adapter.tensors import to_array

        try:
            results = self.module.run_method(self.method, tuple(tensors))
        except (RuntimeError, ValueError) as error:
            raise ModelExecutionError(
                "ExecuTorch failed while the program ran",
                found=_text(error),
                hint="run it with executorch.runtime; where that finds no fault, report this message",
            ) from error
        return [to_array(one) if isinstance(one, torch.Tensor) else np.asarray(one) for one in results]


def load(data: bytes, method: str) -> Loaded:
    """A program for one run. Raises UnsupportedModelError for what this build of the runtime has no kernels for."""
    try:
        return Loaded(data, executorch().runtime._load_for_executorch_from_buffer(data), method)
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            "ExecuTorch cannot load the program",
            found=_text(error),
            hint="its operators or delegates may be of another build of the runtime",
        ) from error


def to_tensor(array: Array, tensor: Any) -> Any:
    """A tensor of its own memory, in the dtype and the order of axes that the program declares."""
    import torch

    fed = torch.from_numpy(np.array(array, order="C")).to(torch_dtype(tensor))
    order = [int(axis) for axis in tensor.dim_order]
    if order == sorted(order) or len(order) != fed.ndim:
        return fed
    return fed.permute(order).contiguous().permute([order.index(axis) for axis in range(len(order))])


def holder_of(tensor: Any) -> np.dtype[Any]:
    """The dtype of arrays that hold such a tensor; float32 for what numpy lacks."""
    try:
        return np.dtype(str(torch_dtype(tensor)).removeprefix("torch."))
    except TypeError:
        return np.dtype(np.float32)


def _text(error: Exception) -> str:
    return " ".join(str(error).split())[:400]
