"""From the values the user gave to the dtype a model declares: nothing is lost silently."""

from __future__ import annotations

from typing import Any

import numpy as np

from aligner.errors import InputError
from aligner.inputs.conventions import real_range
from aligner.inputs.slots import End
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.dtypes import plain_dtype
from aligner.records.graph import InputSpec, Quantization

_TEXT = ("string", "str", "object")


@dataclass(frozen=True, slots=True, eq=False)
class Cast:
    """The array fed, what the user should know of how it was made, and the share of values that were clipped."""

    array: Array
    remarks: tuple[str, ...] = ()
    clipped: float = 0.0


def fed_dtype(spec: InputSpec, forced: str | None, *, sole: bool) -> np.dtype[Any] | None:
    """The numpy dtype to feed; None where neither the model nor the user says.

    bfloat16 has no numpy dtype and is fed as float32. ``forced`` applies to inputs of its own kind only, so that
    ``--dtype float16`` leaves token ids alone; on a model's sole input a clash is an error.
    """
    declared = dtype_of(spec.dtype, f"input {spec.name} declares")
    wanted = dtype_of(forced, "--dtype is")
    if wanted is None or wanted == declared:
        return declared
    if declared is None or (_family(wanted) == _family(declared) and spec.quantization is None):
        return wanted
    if sole and spec.quantization is None:
        found = f"--dtype {forced}, but input {spec.name} takes {spec.dtype}"
        raise InputError("--dtype does not fit the model's input", found=found, hint="leave --dtype out")
    return declared


def stored_as(array: Array, ends: tuple[End, ...]) -> Quantization | None:
    """The quantisation an array is already stored in: that of the first quantised end that has its very dtype."""
    matching = [end.spec for end in ends if end.spec.quantization and end.spec.dtype == array.dtype.name]
    return matching[0].quantization if matching else None


def cast(array: Array, dtype: np.dtype[Any] | None, end: End, stored: Quantization | None, source: str) -> Cast:
    """Carry an array into an end's dtype.

    ``stored`` says that the array holds stored values of that quantisation; a float end gets the real ones. Values for
    a quantised end are quantised with its parameters and clipped to what it holds. Raises InputError when values would
    be lost otherwise.
    """
    quantization = end.spec.quantization
    if stored is not None:
        if quantization == stored and array.dtype == dtype:
            return Cast(array, ("taken as stored",))
        array = dequantize(array, stored)
    if quantization is not None and dtype is not None and dtype.kind in "iu":
        return _quantized(array, dtype, quantization, end, source)
    remarks = ("dequantised",) if stored is not None else ()
    if dtype is None:
        dtype = np.dtype(np.float32) if array.dtype == np.float64 else array.dtype
    if array.dtype == dtype:
        return Cast(array, remarks)
    said = remarks if stored is not None else (f"cast from {array.dtype.name}",)
    return Cast(_exact(array, dtype, end, source), said)


def dequantize(array: Array, quantization: Quantization) -> Array:
    """Real values of a stored array of any rank."""
    return quantization.dequantize(array).reshape(array.shape)


def _quantized(array: Array, dtype: np.dtype[Any], quantization: Quantization, end: End, source: str) -> Cast:
    if array.dtype.kind not in "biuf":
        raise _unfit(array, dtype, end, source, "these are not numbers")
    low, high = real_range(end.spec) or (-np.inf, np.inf)
    slack = 0.5 * max(quantization.scale)
    real = array.astype(np.float64)
    clipped = float(np.mean((real < low - slack) | (real > high + slack)))
    return Cast(quantization.quantize(real, dtype).reshape(array.shape), ("quantised",), clipped)


def _exact(array: Array, dtype: np.dtype[Any], end: End, source: str) -> Array:
    """Cast, and refuse where the values do not survive (rounding to a narrower float is allowed)."""
    if "O" in (array.dtype.kind, dtype.kind):
        if array.dtype.kind in "OS" and dtype.kind == "O":
            return array.astype(object)
        raise _unfit(array, dtype, end, source, "text and numbers do not mix")
    if array.dtype.kind == "c" and dtype.kind != "c":
        raise _unfit(array, dtype, end, source, "complex numbers do not fit")
    with np.errstate(all="ignore"):
        result = array.astype(dtype)
    if dtype.kind in "fc":
        if not np.isfinite(result).all():
            raise _unfit(array, dtype, end, source, f"values up to {np.abs(array).max():.6g} overflow")
    elif not np.array_equal(result.astype(array.dtype), array):
        why = "the values are not whole numbers in its range" if dtype.kind != "b" else "only 0 and 1 are truth values"
        raise _unfit(array, dtype, end, source, why)
    return result


def _unfit(array: Array, dtype: np.dtype[Any], end: End, source: str, why: str) -> InputError:
    wanted = "text" if dtype.kind == "O" else dtype.name
    return InputError(
        f"{source} cannot be fed to {end.text} as {wanted}: {why}",
        found=f"{array.dtype.name if array.dtype.kind != 'O' else 'text'}, shape {array.shape}",
        hint=f"give that side its own data: --input {end.role}.{end.spec.name}=FILE",
    )


def dtype_of(word: str | None, subject: str) -> np.dtype[Any] | None:
    """What a word means; None where none is said. Raises InputError for one that nothing can be fed as."""
    if word is None:
        return None
    bare = plain_dtype(word)
    if bare in _TEXT:
        return np.dtype(object)
    if bare == "bfloat16":
        return np.dtype(np.float32)
    try:
        found = np.dtype(word if word == "int" else bare)  # a user's word here, and numpy's int has 64 bits
        if found.names or found.shape or found.kind in "MmUS":
            raise TypeError("records, dates and texts are no tensors")
        return found
    except (TypeError, ValueError, SyntaxError) as error:  # numpy reads "f4,i4" and "(2,)f4", and what looks so
        raise InputError(
            f"{subject} a dtype that cannot be fed",
            found=word,
            hint="float32, float16, float64, uint8, int8, int32, int64, bool",
        ) from error


def _family(dtype: np.dtype[Any]) -> str:
    return "i" if dtype.kind in "iu" else dtype.kind
