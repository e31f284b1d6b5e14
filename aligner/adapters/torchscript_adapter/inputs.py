"""From named arrays to the arguments of a TorchScript forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aligner.adapters.torchscript_adapter.arrays import as_tensor
from aligner.adapters.torchscript_adapter.operands import holds_tensors, is_tensor
from aligner.errors import InputError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import InputSpec

_NUMBERS = {"IntType": "int64", "FloatType": "float64", "BoolType": "bool"}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of forward; ``specs`` are the inputs that fill it: several for a tuple of tensors."""

    name: str
    type: Any
    specs: tuple[InputSpec, ...]
    default: Any

    @property
    def required(self) -> bool:
        return self.specs[0].required


def read_arguments(schema: Any, *, skip_self: bool) -> tuple[Argument, ...]:
    """The arguments of a function's schema."""
    return tuple(_argument(argument) for argument in schema.arguments[1 if skip_self else 0 :])


def _argument(argument: Any) -> Argument:
    inner, optional = _unwrapped(argument.type)
    required = not (argument.has_default_value() or optional)
    default = argument.default_value if argument.has_default_value() else None
    if inner.kind() == "TupleType" and holds_tensors(inner):
        count = len(inner.containedTypes())
        specs = tuple(InputSpec(f"{argument.name}.{index}", required=required) for index in range(count))
    elif inner.kind() in _NUMBERS:
        specs = (InputSpec(argument.name, (), _NUMBERS[inner.kind()], required),)
    else:
        specs = (InputSpec(argument.name, required=required),)
    return Argument(argument.name, argument.type, specs, default)


def argument_value(argument: Argument, arrays: Sequence[Array | None], device: Any, floating: Any | None = None) -> Any:
    """What to pass for an argument, given an array for each of its inputs (None: not given).

    ``floating``: the dtype of tensors of floats, which numpy may lack; None for the arrays' own.
    """
    if all(array is None for array in arrays):
        return argument.default
    inner, _ = _unwrapped(argument.type)
    given = [array for array in arrays if array is not None]
    if inner.kind() == "TupleType" and holds_tensors(inner):
        if len(given) < len(arrays) or not all(is_tensor(item) for item in inner.containedTypes()):
            raise _unsuited(argument, "each element is one input, and all of them are needed")
        return tuple(_tensor(array, device, floating) for array in given)
    if holds_tensors(inner):
        raise _unsuited(argument, "wrap the model so that its inputs are single tensors or a tuple of them")
    if is_tensor(inner):
        if given[0].dtype.kind not in "biufc":
            raise _unsuited(argument, "feed numbers", given[0])
        return _tensor(given[0], device, floating)
    return _plain(argument, inner, given[0])


def _tensor(array: Array, device: Any, floating: Any | None) -> Any:
    return as_tensor(array).to(device, floating if array.dtype.kind == "f" else None)


def _plain(argument: Argument, inner: Any, array: Array) -> Any:
    kind = inner.kind()
    if kind == "ListType":
        return array.tolist()
    if array.size != 1:
        raise _unsuited(argument, "feed a single value", array)
    value = array.reshape(-1)[0]
    value = value.item() if hasattr(value, "item") else value
    if kind == "IntType":
        if value != int(value):
            raise _unsuited(argument, "feed a whole number", array)
        return int(value)
    if kind == "NumberType":
        return value
    casts: dict[str, Callable[[Any], Any]] = {"FloatType": float, "BoolType": bool, "StringType": str}
    if kind not in casts:
        raise _unsuited(argument, "wrap the model so that its inputs are tensors and numbers", array)
    return casts[kind](value)


def _unsuited(argument: Argument, hint: str, array: Array | None = None) -> InputError:
    given = "" if array is None else f", given {array.dtype} of shape {tuple(array.shape)}"
    return InputError(
        f"the input {argument.name!r} cannot be fed", found=f"forward takes {argument.type}{given}", hint=hint
    )


def _unwrapped(value_type: Any) -> tuple[Any, bool]:
    """The type within an Optional, and whether it was one."""
    if value_type.kind() == "OptionalType":
        return value_type.getElementType(), True
    return value_type, False
