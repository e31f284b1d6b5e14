"""A run that computes shapes alone: the inputs have no data, nor has what is computed from them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aligner.adapters.torch_compiler import compiler_apart


def is_hollow(tensor: Any) -> bool:
    """Whether a tensor has a shape and no data."""
    return bool(tensor.is_meta)


def hollow(tensor: Any) -> Any:
    """A tensor of the same shape, strides and dtype without data."""
    import torch

    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


@contextmanager
def without_data(device: Any) -> Iterator[None]:
    """Inside the block a call with a hollow operand takes the others for hollow, too, and its results are hollow.

    What is made of real tensors alone is computed; tensors made from nothing are real, on ``device``. Nothing is
    written to a real tensor. Raises RuntimeError, or what PyTorch raises, where numbers are wanted.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[misc]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return _called(func, args, kwargs or {}, device)

    with compiler_apart(), Mode():
        yield


def _called(func: Any, args: Any, kwargs: dict[str, Any], device: Any) -> Any:
    import torch
    from torch.utils._pytree import tree_leaves, tree_map

    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    elsewhere = getattr(kwargs.get("device"), "type", None)
    if not any(map(is_hollow, tensors)):
        if tensors and func._schema.is_mutable:
            raise RuntimeError(f"{func} writes to a tensor that has data")
        return func(*args, **(kwargs | {"device": device} if elsewhere == "meta" else kwargs))
    if _writes_to_data(func, args, kwargs):
        raise RuntimeError(f"{func} writes to a tensor that has data")
    if elsewhere is not None:  # hollow tensors are on no other device
        kwargs = kwargs | {"device": torch.device("meta")}

    def bare(leaf: Any) -> Any:
        return hollow(leaf) if isinstance(leaf, torch.Tensor) and not is_hollow(leaf) else leaf

    args, kwargs = tree_map(bare, (args, kwargs))
    return func(*args, **kwargs)


def _writes_to_data(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    import torch

    if not func._schema.is_mutable:
        return False
    named = zip((argument.name for argument in func._schema.arguments), args, strict=False)
    given = dict(named) | kwargs
    written = (given.get(each.name) for each in func._schema.arguments if each.is_write)
    return any(isinstance(one, torch.Tensor) and not is_hollow(one) for one in written)
