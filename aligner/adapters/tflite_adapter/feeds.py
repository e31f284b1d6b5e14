"""Check what is fed to a TFLite model before the interpreter sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from aligner.adapters.base import Feeds
from aligner.adapters.fed import check_dtype, check_names, check_shape, fits_shape
from aligner.adapters.tflite_adapter.constants import numpy_dtype
from aligner.adapters.tflite_adapter.graph import Naming, declared_shape, input_names
from aligner.adapters.tflite_adapter.schema import Model
from aligner.errors import ModelExecutionError
from aligner.records.array import Array
from aligner.records.graph import InputSpec


def bind_feeds(model: Model, naming: Naming, feeds: Feeds) -> dict[int, Array]:
    """Arrays by tensor index, in the order of the model's inputs.

    Sizes that the model leaves open may be anything; other sizes may differ as long as the interpreter can resize.
    Raises InputError for a missing or unknown name, another rank, another type, or a size that the model fixes.
    """
    names = input_names(model, naming)
    given = {names.get(name, -1): np.asarray(array) for name, array in feeds.items()}
    specs = {index: _spec(model, naming, index) for index in model.main.inputs}
    check_names(specs.values(), [naming.ids[names[name]] if name in names else name for name in feeds])
    for index, spec in specs.items():
        _check(spec, given[index])
    return {index: np.ascontiguousarray(given[index]).reshape(given[index].shape) for index in specs}


@contextmanager
def blaming_sizes(model: Model, naming: Naming, arrays: Mapping[int, Array]) -> Iterator[None]:
    """Turn the interpreter's failure into an InputError where an input has another size than the file gives it."""
    try:
        yield
    except ModelExecutionError as error:
        for index, array in arrays.items():
            spec = _spec(model, naming, index)
            if spec.shape is not None and None not in spec.shape:
                check_shape(spec, array.shape, fits=spec.shape == array.shape, why=str(error.found), channels="last")
        raise


def _spec(model: Model, naming: Naming, index: int) -> InputSpec:
    tensor = model.main.tensors[index]
    return InputSpec(naming.ids[index], declared_shape(tensor), tensor.dtype)


def _check(spec: InputSpec, array: Array) -> None:
    text = spec.dtype == "string" and array.dtype.kind in "OSU"
    check_dtype(spec, array.dtype, fits=text or array.dtype == numpy_dtype(spec.dtype or ""))
    if spec.shape is not None:
        resizes = None not in spec.shape and len(spec.shape) == array.ndim
        check_shape(spec, array.shape, fits=resizes or fits_shape(array.shape, spec.shape), channels="last")
