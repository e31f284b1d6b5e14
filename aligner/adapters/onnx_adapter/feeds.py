"""Check what is fed against what the model declares, and hand it over to onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aligner.adapters.fed import check_dtype, check_names, check_shape, fits_shape
from aligner.adapters.onnx_adapter.dtypes import numpy_dtype, to_ort_value
from aligner.adapters.onnx_adapter.types import ValueType, value_type
from aligner.errors import InputError
from aligner.records.array import Array
from aligner.records.graph import InputSpec


def input_specs(inputs: Mapping[str, Any]) -> tuple[InputSpec, ...]:
    """The model's inputs as it declares them; a sequence's dtype is "sequence(float32)"."""
    return tuple(_spec(name, proto.type) for name, proto in inputs.items())


def _spec(name: str, proto: Any) -> InputSpec:
    kind = value_type(proto)
    if kind.tensor:
        words = tuple(size.dim_param for size in proto.tensor_type.shape.dim)
        return InputSpec(name, kind.shape, kind.word, axes=words if any(words) else ())
    word = str(proto.WhichOneof("value")).removesuffix("_type")
    inner = value_type(getattr(proto, f"{word}_type").elem_type).word if word in ("sequence", "optional") else None
    return InputSpec(name, None, f"{word}({inner or '?'})", required=word != "optional")


def check_feeds(inputs: Mapping[str, Any], feeds: Mapping[str, Array]) -> dict[str, Any]:
    """Return the feeds as the runtime wants them; arrays for a sequence are taken apart along their first axis.

    Raises InputError naming every input that is missing, unknown or does not fit.
    """
    specs = {spec.name: spec for spec in input_specs(inputs)}
    check_names(specs.values(), feeds)
    return {name: _fed(specs[name], value_type(inputs[name].type), array) for name, array in feeds.items()}


def _fed(spec: InputSpec, kind: ValueType, array: Any) -> Any:
    import numpy as np

    if not kind.tensor:
        return list(array)
    array = np.asarray(array)
    wanted = numpy_dtype(kind.element)
    if wanted is None:
        raise InputError(
            f"input {spec.name!r} has an element type that cannot be fed",
            found=spec.dtype or "undefined",
            hint="export the model with an input of a standard type",
        )
    is_text = wanted.kind == "O" and array.dtype.kind in "OUS"
    same = array.dtype == wanted or is_text or array.dtype.name == spec.dtype
    check_dtype(spec, array.dtype, fits=same, wanted=wanted)
    check_shape(spec, array.shape, fits=spec.shape is None or fits_shape(array.shape, spec.shape))
    return to_ort_value(array.astype(wanted, copy=False), kind.element)


def shapes_of(feeds: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
    """Input name → shape of what is fed."""
    import numpy as np

    return {name: tuple(np.shape(array)) for name, array in feeds.items()}
