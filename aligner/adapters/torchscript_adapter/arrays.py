"""Tensors to arrays and back, owned on both sides."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.adapters.fed import check_injected
from aligner.adapters.torch_quantization import dtype_word, quantization_of, requantised
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor

_NUMPY_HAS = frozenset(
    "float16 float32 float64 complex64 complex128 uint8 uint16 uint32 uint64 int8 int16 int32 int64 bool".split()
)


def owned_array(tensor: Any, *, share: bool = False) -> Array:
    """A tensor as a read-only array; types that numpy lacks arrive as float32, quantised ones as stored.

    It is a copy, or with ``share`` the tensor's own memory, to which then nobody may write any more.
    """
    plain = tensor.detach()
    if plain.is_quantized:
        plain = plain.int_repr()
    if plain.layout is not _strided():
        plain = plain.to_dense()
    plain = plain.resolve_conj().resolve_neg().cpu()
    if dtype_word(plain) not in _NUMPY_HAS:
        plain = plain.float()
    array: Array = np.array(plain.numpy(), copy=None if share else True)
    array.flags.writeable = False
    return array


def captured(value: str, tensor: Any, occurrence: int = 0, *, share: bool = False) -> CapturedTensor:
    """A tensor as the record that leaves the session."""
    array = owned_array(tensor, share=share)
    return CapturedTensor(value, array, dtype_word(tensor), quantization_of(tensor), occurrence)


def replacement(tensor: Any, array: Array, value: str) -> Any:
    """A new tensor of the array's numbers with the dtype, device and strides of the one it stands in for.

    Kernels choose their path by strides, so that the same numbers in another layout could round differently.
    """
    import torch

    fits = tuple(array.shape) == tuple(tensor.shape)
    check_injected(value, array, fits=fits, wanted=f"{dtype_word(tensor)} {list(tensor.shape)}")
    source = as_tensor(array)
    if tensor.is_mkldnn:
        return source.to(dtype=tensor.dtype).to_mkldnn()
    if tensor.is_quantized:
        return requantised(tensor, source)
    overlapping = any(stride == 0 and size > 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    if overlapping:
        return source.to(dtype=tensor.dtype, device=tensor.device)
    fresh = torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device=tensor.device)
    return fresh.copy_(source)


def as_tensor(array: Array) -> Any:
    """A tensor that owns its memory."""
    import torch

    return torch.from_numpy(np.array(array, order="C", copy=True))


def _strided() -> Any:
    import torch

    return torch.strided
