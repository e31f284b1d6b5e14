"""Give the arguments of a torch call their names, and tell operands from attributes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from aligner.adapters.aten_kinds import kind_of, normalise_attributes, plain
from aligner.adapters.aten_names import bare_name, is_inplace
from aligner.adapters.pytorch_adapter.tensors import tensors_in, walk
from aligner.records.graph import Attribute

_NEVER_SAID = frozenset(
    {"device", "memory_format", "non_blocking", "copy", "out", "pin_memory", "requires_grad", "inplace"}
)
_OPTIONAL_OPERANDS = frozenset({"weight", "bias", "running_mean", "running_var", "attn_mask"})


def bind(func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Map argument names to values, in the operator's own order, with its defaults.

    Arguments that no signature explains are called ``argument_0`` and so on.
    """
    if name in ("__getitem__", "__setitem__"):
        return dict(zip(("self", "index", "value"), args, strict=False))
    schema = getattr(func, "_schema", None)  # of one overload; a function stands for many
    told = _match(schema, args, kwargs) if schema is not None else None
    if told is not None:
        return told
    bound = _bind_python(func, args, kwargs) or _bind_schema(name, args, kwargs)
    if bound is None:
        bound = {f"argument_{number}": value for number, value in enumerate(args)} | kwargs
    order = _schema_order(name)
    if order and set(bound) <= set(order):
        return {key: bound[key] for key in order if key in bound}
    return bound


def operands(bound: dict[str, Any]) -> list[Any]:
    """The tensors among the arguments, in order; None for an absent optional one that others follow."""
    found: list[Any] = []
    for name, value in bound.items():
        if name == "out":
            continue
        if value is None and name in _OPTIONAL_OPERANDS:
            found.append(None)
        else:
            found.extend(tensor for _, tensor in walk(value))  # the same one may stand twice
    while found and found[-1] is None:
        found.pop()
    return found


def attributes(name: str, bound: dict[str, Any]) -> dict[str, Attribute]:
    """Everything that is not a tensor, in neutral words."""
    said = {
        key: value
        for key, value in bound.items()
        if key not in _NEVER_SAID and value is not None and not key.startswith("_") and _is_said(value)
    }
    if kind_of(name) in ("add", "sub") and said.get("alpha") == 1:
        del said["alpha"]
    if name in ("__getitem__", "__setitem__"):
        return {"index": _index(bound["index"])} | ({"value": plain(said["value"])} if "value" in said else {})
    if bare_name(name) in ("index", "index_put"):
        index = _index(tuple(slice(None) if part is None else part for part in bound["indices"]))
        return {"index": index, "accumulate": True} if said.get("accumulate") else {"index": index}
    if not said.pop("transposed", True):
        said.pop("output_padding", None)
    if kind_of(name) == "constant":
        said.pop("data", None)
    if kind_of(name) == "transpose":
        said = _as_permutation(bare_name(name), bound, said)
    weight = bound.get("weight")
    shape = tuple(weight.shape) if weight is not None and hasattr(weight, "shape") else None
    return normalise_attributes(bare_name(name), said, shape)


def _is_said(value: Any) -> bool:
    """Whether it is no tensor, and no object that holds some."""
    import torch

    return not isinstance(value, torch.ScriptObject) and not tensors_in(value)


def _as_permutation(name: str, bound: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """Every way to reorder axes becomes ``dims``; one that is not understood stays as it was said."""
    tensor: Any = next(iter(bound.values()), None)
    rank = tensor.dim() if hasattr(tensor, "dim") else 0
    axes = list(range(rank))
    numbers = [value for value in said.values() if isinstance(value, int)]
    if name in ("transpose", "swapaxes", "swapdims") and len(numbers) == 2 and rank:
        first, second = (number % rank for number in numbers)
        axes[first], axes[second] = axes[second], axes[first]
    elif name in ("mT", "mH", "adjoint") and rank >= 2:
        axes[-2:] = axes[:-3:-1]
    elif name in ("t", "T", "numpy_T", "H") and not said:
        axes.reverse()
    elif name == "permute" and "dims" in said and rank:
        axes = [axis % rank for axis in said["dims"]]
    else:
        return said
    return {"dims": tuple(axes)}


def _index(index: Any) -> str:
    parts = index if isinstance(index, tuple) else (index,)
    return ", ".join("tensor" if tensors_in(part) else str(plain(part)) for part in parts)


def _bind_python(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    signature = _signature(func) if inspect.isfunction(func) else None
    if signature is None:
        return None
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        return None
    bound.apply_defaults()
    return dict(bound.arguments)


@lru_cache(maxsize=512)
def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, unless it is one of the bare ``*args`` of torch's wrappers."""
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return None
    loose = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return None if any(parameter.kind in loose for parameter in signature.parameters.values()) else signature


@lru_cache(maxsize=512)
def _schemas(name: str) -> tuple[Any, ...]:
    import torch

    word = bare_name(name) + ("_" if is_inplace(name) else "")
    candidates = (name, word, bare_name(name))
    for candidate in candidates:
        found = torch._C._jit_get_schemas_for_operator(candidate if "::" in candidate else f"aten::{candidate}")
        if found:
            return tuple(schema for schema in found if not schema.overload_name.endswith("out")) or tuple(found)
    return ()


def _schema_order(name: str) -> tuple[str, ...]:
    schemas = _schemas(name)
    return tuple(argument.name for argument in schemas[0].arguments) if schemas else ()


def _bind_schema(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    for schema in _schemas(name):
        for positional in (list(args), _gathered(schema, args)):
            bound = _match(schema, positional, kwargs)
            if bound is not None:
                return bound
    return None


def _gathered(schema: Any, args: Sequence[Any]) -> list[Any]:
    """``x.view(2, 3)`` → ``x.view((2, 3))``: trailing whole numbers make one list."""
    for number, argument in enumerate(schema.arguments):
        if "List[int]" in str(argument.type) and number < len(args):
            tail = args[number:]
            if all(isinstance(value, int) for value in tail):
                return [*args[:number], tuple(tail)]
            break
    return list(args)


def _match(schema: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any] | None:
    arguments = schema.arguments
    if len(args) > len([argument for argument in arguments if not argument.kwarg_only]):
        return None
    known = {argument.name for argument in arguments}
    named = {("self" if key == "input" and key not in known else key): value for key, value in kwargs.items()}
    if "axis" in named and "axis" not in known:
        named["dim"] = named.pop("axis")
    extra = {key: value for key, value in named.items() if key not in known}
    if set(extra) - {"dtype", "layout", "out", "return_indices", *_NEVER_SAID}:
        return None
    bound: dict[str, Any] = {}
    for number, argument in enumerate(arguments):
        if number < len(args):
            value = args[number]
        elif named.get(argument.name) is not None or (argument.name in named and not argument.has_default_value()):
            value = named[argument.name]
        elif argument.has_default_value():
            bound[argument.name] = argument.default_value
            continue
        else:
            return None
        if not _fits(value, str(argument.type)):
            return None
        bound[argument.name] = value
    return bound | extra


def _fits(value: Any, declared: str) -> bool:
    """Whether a Python value can stand for a schema type; anything not recognised fits."""
    import torch

    if value is None:
        return declared.startswith("Optional")
    inner = declared.removeprefix("Optional[").removesuffix("]") if declared.startswith("Optional") else declared
    if isinstance(value, torch.Tensor):
        return inner == "Tensor"
    if inner == "Tensor":
        return False
    if inner.startswith("List"):
        return isinstance(value, tuple | list) or ("int" in inner and isinstance(value, int))
    if isinstance(value, str):
        return inner == "str"
    if isinstance(value, bool):
        return inner in ("bool", "number", "int")
    if isinstance(value, int | float):
        return inner in ("number", "float", "int", "Scalar") and not (inner == "int" and isinstance(value, float))
    return not isinstance(value, tuple | list)
