"""A module that computes in float64, whatever dtype its code asks for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from aligner.adapters.pytorch_adapter.tensors import substitute, tensors_in
from aligner.adapters.torch_quantization import packed_layers
from aligner.errors import UnsupportedModelError

_NARROWING = frozenset({"float", "half", "bfloat16"})


def widened_copy(module: Any) -> Any:
    """A copy of a module in float64. Raises UnsupportedModelError where it cannot be copied or holds integers."""
    packed = packed_layers(module)
    if packed:
        raise UnsupportedModelError(
            "the module cannot be run in float64",
            found=f"{len(packed)} of its layers compute in integers",
            hint="compare with the module that it was quantised from",
        )
    try:
        return copy.deepcopy(module).double()
    except Exception as error:
        raise UnsupportedModelError(
            "the module cannot be run in float64",
            found=f"it cannot be copied: {type(error).__name__}: {error}",
            hint="give it as file.py:factory",
        ) from error


def widening() -> Any:
    """A mode in which no torch function makes a float narrower than float64."""
    import torch
    from torch.overrides import TorchFunctionMode

    narrow = {torch.float32, torch.float16, torch.bfloat16}

    def wide(item: Any) -> Any:
        return torch.float64 if isinstance(item, torch.dtype) and item in narrow else item

    class Widening(TorchFunctionMode):  # type: ignore[misc]  # torch.overrides has no types
        def __torch_function__(
            self, func: Callable[..., Any], _: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
        ) -> Any:
            given = {id(tensor) for tensor in tensors_in((args, kwargs))}
            if getattr(func, "__name__", "") in _NARROWING and given:
                func = torch.Tensor.double
            result = func(*map(wide, args), **{name: wide(item) for name, item in (kwargs or {}).items()})
            fresh = {
                id(tensor): tensor.double()
                for tensor in tensors_in(result)
                if tensor.dtype in narrow and id(tensor) not in given
            }
            return substitute(result, fresh) if fresh else result

    return Widening()
