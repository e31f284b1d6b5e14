"""Torch tensors inside Python structures, and their way to numpy and back."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from aligner.adapters.fed import check_injected
from aligner.adapters.torch_quantization import dtype_word, in_real_numbers, integers_of, quantization_of, requantised
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.tensor import CapturedTensor

_WIDENED = ("bfloat16", "float8")
"""Dtypes that numpy lacks; they arrive as float32."""
_DEPTH = 8
"""Containers within each other that tensors are looked for in: a limit of work."""
_ALIGNMENT = 64
"""Bytes: PyTorch's own allocator aligns to a cache line, which kernels look at."""


def walk(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield (path, tensor) for every tensor in nested tuples, lists, mappings and dataclasses."""
    import torch

    if isinstance(tree, torch.Tensor):
        yield path, tree
    elif len(path) >= _DEPTH or isinstance(tree, str | bytes | type):
        return
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from walk(item, (*path, str(key)))
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        for key in tree._fields:
            yield from walk(getattr(tree, key), (*path, key))
    elif isinstance(tree, tuple | list):
        for number, item in enumerate(tree):
            yield from walk(item, (*path, str(number)))
    elif is_dataclass(tree):
        for entry in fields(tree):
            yield from walk(getattr(tree, entry.name, None), (*path, entry.name))


def tensors_in(tree: Any) -> list[Any]:
    """Every tensor of the tree, once, in order."""
    found: dict[int, Any] = {}
    for _, tensor in walk(tree):
        found.setdefault(id(tensor), tensor)
    return list(found.values())


def substitute(tree: Any, replacements: Mapping[int, Any]) -> Any:
    """Rebuild an operation's result with the tensors replaced whose ``id()`` is listed."""
    import torch

    if isinstance(tree, torch.Tensor):
        return replacements.get(id(tree), tree)
    if isinstance(tree, tuple | list):
        items = [substitute(item, replacements) for item in tree]
        if isinstance(tree, tuple) and hasattr(tree, "_make"):
            return tree._make(items)
        return type(tree)(items)
    if isinstance(tree, dict):
        return {key: substitute(item, replacements) for key, item in tree.items()}
    return tree


def to_array(tensor: Any, *, share: bool = False) -> Array:
    """A tensor as a read-only array; what numpy cannot hold arrives as float32.

    It is a copy, or with ``share`` the tensor's own memory, to which then nobody may write any more.
    """
    import torch

    plain = tensor.detach()
    if plain.is_nested:
        plain = torch.nested.to_padded_tensor(plain, 0.0)
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    if plain.is_quantized:
        plain = plain.int_repr()
    stored = integers_of(plain)
    plain = in_real_numbers(plain) if stored is None else stored
    plain = plain.resolve_conj().resolve_neg()
    if dtype_word(plain).startswith(_WIDENED):
        plain, share = plain.to(torch.float32), True  # memory of its own
    array: Array = plain.cpu().numpy() if share else plain.cpu().contiguous().numpy().copy()
    array.flags.writeable = False
    return array


def captured(value: str, tensor: Any, *, share: bool = False) -> CapturedTensor:
    """A tensor as the record that leaves the session."""
    return CapturedTensor(value, to_array(tensor, share=share), dtype_word(tensor), quantization_of(tensor))


def floating_dtype(module: Any) -> Any:
    """The dtype that floats of no declared dtype are fed in: that of the module's parameters; None without any."""
    return next((tensor.dtype for tensor in module.parameters() if tensor.is_floating_point()), None)


def output_name(path: tuple[str, ...], *, bare: bool) -> str:
    """ "output", "output.1" or the key that the model gave it ("logits", "hidden_states.2")."""
    if bare:
        return "output"
    return ".".join(path) if not path[0].isdigit() else ".".join(("output", *path))


def living_tensors() -> list[Any]:
    """Every tensor that exists now; held, so that no new one takes an old one's ``id()``."""
    import torch

    frozen = gc.get_freeze_count()
    gc.unfreeze()  # the collector lists nothing of what is set aside from it
    try:
        return [thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)]
    finally:
        if frozen:
            gc.freeze()


def is_of(tensor: CapturedTensor, output: Any) -> bool:
    """Whether a captured tensor is what a part of the model gave, to the last bit."""
    import torch

    if not isinstance(output, torch.Tensor) or tuple(output.shape) != tensor.array.shape:
        return False
    return bool(np.array_equal(to_array(output), tensor.array, equal_nan=tensor.array.dtype.kind == "f"))


def from_array(array: Array, like: Any, *, name: str) -> Any:
    """Copy an array into a new tensor with the dtype, device, strides, alignment and gradient flag of ``like``.

    Matrix products choose their kernel by all of these, and round differently for another.

    Raises InputError when the shapes differ.
    """
    import torch

    fits = tuple(array.shape) == tuple(like.shape)
    check_injected(name, array, fits=fits, wanted=f"{dtype_word(like)} {list(like.shape)}")
    given = torch.from_numpy(np.array(array, copy=True))
    if like.is_quantized:
        return requantised(like, given)
    result = _room_like(like)
    result.copy_(given)
    return result.requires_grad_() if like.requires_grad else result


def _room_like(like: Any) -> Any:
    import torch

    if like.layout != torch.strided or like.is_quantized or like.numel() == 0 or _repeats(like):
        return torch.empty_like(like)
    return room_of(like).tensor()


@dataclass(frozen=True, slots=True)
class Room:
    """Memory for a tensor: its form, and how many elements behind a cache line's beginning it starts."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: Any
    device: Any
    skipped: int

    def tensor(self) -> Any:
        """A new one, with whatever numbers; there is a place for each element that has one of its own."""
        import torch

        extent = 1 + sum((size - 1) * stride for size, stride in zip(self.size, self.stride, strict=True))
        room = torch.empty(max(extent, 0) + self.skipped, dtype=self.dtype, device=self.device)
        # not as_strided(): the flag of a view's base would stand for its own
        return room.new_empty(0).set_(room.untyped_storage(), self.skipped, self.size, self.stride)


def room_of(like: Any) -> Room:
    """Room for a tensor of the same form."""
    skipped = like.data_ptr() % _ALIGNMENT // like.element_size()
    return Room(tuple(like.shape), tuple(like.stride()), like.dtype, like.device, skipped)


def _repeats(like: Any) -> bool:
    """Whether several elements may stand in the same place, as after ``expand``."""
    reached = 0
    for stride, size in sorted(zip(like.stride(), like.shape, strict=True)):
        if size > 1 and stride <= reached:
            return True
        reached += (size - 1) * stride
    return False
