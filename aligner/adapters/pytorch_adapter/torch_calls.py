"""Calls of torch functions: seen, unseen, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import FunctionType
from typing import Any

from aligner.adapters.aten_kinds import kind_of
from aligner.adapters.aten_names import bare_name, is_inplace

_PROPERTIES = frozenset({"T", "mT", "H", "mH", "real", "imag", "data", "grad"})
"""Tensor properties that compute or return a tensor."""


def function_mode(call: Callable[[Any, Sequence[Any], dict[str, Any]], Any]) -> AbstractContextManager[Any]:
    """A mode that hands every torch function of this thread to a recorder."""
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return call(func, args, kwargs or {})

    mode: AbstractContextManager[Any] = Mode()
    return mode


def plain_torch() -> AbstractContextManager[Any]:
    """Torch calls inside the block are ours and go unobserved."""
    import torch

    block: AbstractContextManager[Any] = torch._C.DisableTorchFunction()
    return block


def transformed() -> bool:
    """Inside vmap and its kin tensors are stand-ins without data."""
    import torch

    return torch._C._functorch.peek_interpreter_stack() is not None


def word_of(func: Any) -> str:
    """The call's name as PyTorch has it ("conv2d", "__add__", "ns::op"); empty for what never makes a tensor."""
    qualified = getattr(func, "_qualified_op_name", None) or getattr(getattr(func, "_schema", None), "name", None)
    if isinstance(qualified, str):
        return qualified.removeprefix("aten::")
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        return owner if name == "__get__" and owner in _PROPERTIES else ""
    return str(name)


def kind_of_call(name: str, given: Sequence[Any], fresh: Sequence[Any], arguments: Mapping[str, Any] | None) -> str:
    """The kind of what a call does to tensors that are given, with its named arguments where these are known."""
    kind = kind_of(name)
    if kind == "cast" and given and given[0].dtype == fresh[0].dtype:
        return "identity"
    if kind == "slice" and len(given) > 1:
        return "gather"
    if bare_name(name) == "copy" and len(given) > 1:
        return "identity" if given[1].shape == fresh[0].shape else "expand"
    if kind == "reduce" and bare_name(name) in ("max", "min") and len(given) == 2:
        return "minmax"
    transposed = kind == "conv" and arguments is not None and arguments.get("transposed") is True
    return "conv_transpose" if transposed else kind


def is_rewritten(name: str, tensor: Any, args: Sequence[Any]) -> bool:
    """Inference tensors do not count their writes: the call's name says it."""
    return bool(args) and tensor is args[0] and tensor.is_inference() and is_inplace(name)


def shown_word(name: str) -> str:
    """ "__radd__" → "radd"; the in-place underscore stays."""
    return name.strip("_") if name.startswith("__") else name


def opened(func: FunctionType) -> Callable[..., Any]:
    """The same function, except that it does not hand itself over to the observer first."""
    scope = {**func.__globals__, "has_torch_function": lambda _tensors: False}
    copy = FunctionType(func.__code__, scope, func.__name__, func.__defaults__, func.__closure__)
    copy.__kwdefaults__ = func.__kwdefaults__
    return copy
