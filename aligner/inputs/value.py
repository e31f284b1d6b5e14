"""What an input is once it is read: a picture or an array of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aligner.adapters.dumps.formats import SAVED_INPUTS
from aligner.errors import InputError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import plain_dtype

if TYPE_CHECKING:
    from PIL.Image import Image

READABLE = (
    "aligner reads pictures (png, jpeg, webp, bmp, …), .npy, .npz, .pt/.pth tensors, .safetensors, "
    f".json and .txt of numbers, {SAVED_INPUTS}"
)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture, upright; what it becomes depends on the models."""

    image: Image
    remark: str = ""


Value = Picture | np.ndarray[Any, np.dtype[Any]]


def plain_array(value: Any, source: str) -> Array:
    """An array of our own from an array, a tensor, a number or a list; Python floats become float32."""
    if hasattr(value, "detach"):
        value = _from_tensor(value)
    try:
        array = np.array(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError.of(f"{source} is not an array", error, "give numbers, all rows equally long") from error
    if array.dtype == np.float64 and not hasattr(value, "dtype"):
        array = array.astype(np.float32)
    return checked(array, source)


def checked(array: Any, source: str) -> Array:
    """The array in native byte order, if a model can be fed with it.

    Raises InputError for no samples, NaN, infinity, and types that are no numbers, truth values or strings. Samples may
    be empty: a cache before the first step, [1, heads, 0, size].
    """
    if not isinstance(array, np.ndarray):  # a member of an archive that does not begin like an array
        raise InputError(f"{source} is no array", found=type(array).__name__, hint="save it with numpy.savez")
    if array.dtype.kind == "U":
        return array.astype(object)
    if array.dtype.kind not in "biufcOS" or (array.dtype.kind == "O" and not _all_text(array)):
        raise InputError(f"{source} holds no numbers", found=f"dtype {array.dtype}", hint="save a numeric array")
    if array.size == 0 and (array.ndim < 2 or array.shape[0] == 0):
        raise empty(source, array)
    if array.dtype.kind in "fc" and not (finite := np.isfinite(array)).all():
        where = tuple(int(index) for index in np.unravel_index(int(np.argmin(finite)), array.shape))
        bad = int(array.size - np.count_nonzero(finite))
        found = f"{bad} of {array.size} values, the first {array[where]} at {where}"
        raise InputError(f"{source} contains NaN or infinity", found=found, hint="comparing needs finite inputs")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def empty(source: str, array: Array) -> InputError:
    """What to raise for an array without elements."""
    found = f"shape {array.shape}, {array.dtype}"
    return InputError(
        f"{source} is empty: one of its axes has size zero", found=found, hint="give at least one element"
    )


def _all_text(array: Array) -> bool:
    return all(isinstance(entry, str | bytes) for entry in array.ravel())


def _from_tensor(tensor: Any) -> Any:
    tensor = tensor.detach().cpu()
    return (tensor.float() if plain_dtype(str(tensor.dtype)) == "bfloat16" else tensor).numpy()
