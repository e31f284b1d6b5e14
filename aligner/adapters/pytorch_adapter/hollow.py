"""A run that computes shapes alone: the inputs have no data, nor has what is computed from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aligner.adapters.torch_compiler import compiler_apart


class StandIns:
    """Tensors without data in place of those on ``device``; asked where they are, they are there."""

    def __init__(self, device: Any) -> None:
        import torch

        self.device = torch.device(device)

    @staticmethod
    def holds(tensor: Any) -> bool:
        """Whether a tensor has a shape and no data."""
        return bool(tensor.is_meta)

    @staticmethod
    def of(tensor: Any) -> Any:
        """A tensor of the same shape, strides and dtype without data."""
        import torch

        return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Inside the block a call with a hollow operand takes the others for hollow, too, and its results are hollow.

        What is made of real tensors alone is computed; tensors made from nothing are real. Nothing is written to a real
        tensor. Raises RuntimeError, or what PyTorch raises, where numbers are wanted.
        """
        from torch.utils._python_dispatch import TorchDispatchMode

        device = self.device

        class Mode(TorchDispatchMode):  # type: ignore[misc]
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return _called(func, args, kwargs or {}, device)

        with compiler_apart(), Mode():
            yield

    def answer(self, func: Any, args: Sequence[Any]) -> tuple[bool, Any]:
        """Whether a call only asks where a tensor is, or would have it where it is already, and the answer."""
        name = getattr(func, "__name__", "")
        if name == "__get__" and args and self.holds(args[0]):
            told = {"device": self.device, "is_cpu": self.device.type == "cpu", "is_cuda": self.device.type == "cuda"}
            asked = getattr(getattr(func, "__self__", None), "__name__", "")
            return (True, told[asked]) if asked in told else (asked == "is_meta", False)
        if name == self.device.type and args and self.holds(args[0]):  # x.cpu() where x is there
            return True, args[0]
        return False, None

    def placed(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        """The arguments of ``to``: a hollow tensor that is to go where it would be stays where it is."""
        import torch

        if getattr(func, "__name__", "") != "to" or not args:
            return args, kwargs
        place = torch.device("meta") if self.holds(args[0]) else self.device
        kwargs = dict(kwargs)
        model = kwargs.pop("other", args[1] if len(args) > 1 else None)
        if isinstance(model, torch.Tensor):  # to(other): as that one is
            return [args[0], place, model.dtype, *args[2:]], kwargs

        def put(argument: Any) -> Any:
            named = isinstance(argument, (str, torch.device)) and self.holds(args[0])
            return place if named and torch.device(argument).type == self.device.type else argument

        return [args[0], *map(put, args[1:])], {key: put(value) for key, value in kwargs.items()}


def _called(func: Any, args: Any, kwargs: dict[str, Any], device: Any) -> Any:
    import torch
    from torch.utils._pytree import tree_leaves, tree_map

    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    elsewhere = getattr(kwargs.get("device"), "type", None)
    if not any(map(StandIns.holds, tensors)):
        if tensors and func._schema.is_mutable:
            raise RuntimeError(f"{func} writes to a tensor that has data")
        return func(*args, **(kwargs | {"device": device} if elsewhere == "meta" else kwargs))
    if _writes_to_data(func, args, kwargs):
        raise RuntimeError(f"{func} writes to a tensor that has data")
    if elsewhere is not None:  # hollow tensors are on no other device
        kwargs = kwargs | {"device": torch.device("meta")}

    def bare(leaf: Any) -> Any:
        return StandIns.of(leaf) if isinstance(leaf, torch.Tensor) and not StandIns.holds(leaf) else leaf

    args, kwargs = tree_map(bare, (args, kwargs))
    return func(*args, **kwargs)


def _writes_to_data(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    import torch

    if not func._schema.is_mutable:
        return False
    named = zip((argument.name for argument in func._schema.arguments), args, strict=False)
    given = dict(named) | kwargs
    written = (given.get(each.name) for each in func._schema.arguments if each.is_write)
    return any(isinstance(one, torch.Tensor) and not StandIns.holds(one) for one in written)
