"""Check what is fed to a TFLite model before the interpreter sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from aligner.adapters.base import Feeds
from aligner.adapters.tflite_adapter.constants import numpy_dtype
from aligner.adapters.tflite_adapter.graph import Naming, declared_shape, input_names
from aligner.adapters.tflite_adapter.schema import Model, Tensor
from aligner.errors import InputError, ModelExecutionError, listing
from aligner.records.array import Array
from aligner.records.graph import Shape


def bind_feeds(model: Model, naming: Naming, feeds: Feeds) -> dict[int, Array]:
    """Arrays by tensor index, in the order of the model's inputs.

    Sizes that the model leaves open may be anything; other sizes may differ as long as the interpreter can resize.
    Raises InputError for a missing or unknown name, another rank, another type, or a size that the model fixes.
    """
    names = input_names(model, naming)
    unknown = [name for name in feeds if name not in names]
    if unknown:
        raise InputError(
            "the model has no such input", found=listing(unknown), hint=f"its inputs are {_inputs(model, naming)}"
        )
    given = {names[name]: np.asarray(array) for name, array in feeds.items()}
    missing = [naming.ids[index] for index in model.main.inputs if index not in given]
    if missing:
        raise InputError(
            "an input of the model is missing", found=listing(missing), hint=f"its inputs are {_inputs(model, naming)}"
        )
    for index in model.main.inputs:
        _check(naming.ids[index], model.main.tensors[index], given[index])
    return {index: np.ascontiguousarray(given[index]).reshape(given[index].shape) for index in model.main.inputs}


@contextmanager
def blaming_sizes(model: Model, naming: Naming, arrays: Mapping[int, Array]) -> Iterator[None]:
    """Turn the interpreter's failure into an InputError where an input has another size than the file gives it."""
    try:
        yield
    except ModelExecutionError as error:
        for index, array in arrays.items():
            declared = declared_shape(model.main.tensors[index])
            if declared is not None and None not in declared and declared != array.shape:
                raise _wrong_shape(naming.ids[index], array, declared, f"; {error.found}") from error
        raise


def _wrong_shape(name: str, array: Array, declared: Shape, reason: str = "") -> InputError:
    sizes = "(" + ", ".join("any" if size is None else str(size) for size in declared) + ")"
    return InputError(
        "an input has the wrong shape",
        found=f'"{name}" is {array.shape}, the model takes {sizes}{reason}',
        hint="resize or transpose it; TFLite models take images as (N, height, width, channels)",
    )


def _inputs(model: Model, naming: Naming) -> str:
    return listing(naming.ids[index] for index in model.main.inputs)


def _check(name: str, tensor: Tensor, array: Array) -> None:
    declared, wanted = declared_shape(tensor), numpy_dtype(tensor.dtype)
    text = tensor.dtype == "string" and array.dtype.kind in "OSU"
    if not text and array.dtype != wanted:
        raise InputError(
            "an input has the wrong type",
            found=f'"{name}" is {array.dtype}, the model takes {tensor.dtype}',
            hint=f"feed it as {tensor.dtype}",
        )
    if declared is None:
        return
    same_rank = len(declared) == array.ndim
    fits = same_rank and all(size in (None, given) for size, given in zip(declared, array.shape, strict=True))
    if fits or (same_rank and None not in declared):
        return
    raise _wrong_shape(name, array, declared)
