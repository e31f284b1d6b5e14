"""ONNX element types: their words, their numpy storage, and the way between arrays and onnxruntime's tensors."""

from __future__ import annotations

import ctypes
import functools
from typing import TYPE_CHECKING, Any

from aligner.records.array import Array

if TYPE_CHECKING:
    import numpy as np

STRING = 8
BFLOAT16 = 16

_WORDS = dict(
    enumerate(
        "float32 uint8 int8 uint16 int16 int32 int64 string bool float16 float64 uint32 uint64 complex64 complex128 "
        "bfloat16 float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz uint4 int4 float4_e2m1 float8_e8m0fnu "
        "uint2 int2".split(),
        start=1,
    )
)
"""TensorProto.DataType → the word in reports (torch's and numpy's, not protobuf's)."""

_NUMBERS = {word: number for number, word in _WORDS.items()}
_ORT_WORDS = (
    _NUMBERS | {"float": 1, "double": 11} | {word.replace("_", ""): n for word, n in _NUMBERS.items() if n > 16}
)
"""onnxruntime's words, some of which are other than ours."""

_FLOAT8 = frozenset((17, 18, 19, 20, 24))
_NATIVE = frozenset((1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13))
_BITS = {14: 64, 15: 128, 16: 16, 21: 4, 22: 4, 23: 4, 25: 2, 26: 2} | dict.fromkeys(_FLOAT8, 8)


def dtype_word(element_type: int) -> str | None:
    """The dtype's word; None for an undefined element type."""
    return _WORDS.get(element_type)


def element_of(word: str) -> int | None:
    """The element type of a dtype's word; None for one that is not known."""
    return _NUMBERS.get(word)


def element_type_of(ort_type: str) -> int | None:
    """The element type that onnxruntime means by "tensor(float)"; None where it is no tensor."""
    if not ort_type.startswith("tensor("):
        return None
    return _ORT_WORDS.get(ort_type[len("tensor(") : -1])


def is_shareable(element_type: int) -> bool:
    """Whether onnxruntime takes such a tensor from numpy's memory, without a copy."""
    return element_type in _NATIVE or element_type == BFLOAT16 or element_type in _FLOAT8


@functools.cache
def numpy_dtype(element_type: int) -> np.dtype[Any] | None:
    """The dtype of arrays that stand for such tensors: bfloat16 and float8 arrive as float32, int4 as int8."""
    import numpy as np

    word = _WORDS.get(element_type)
    if word is None:
        return None
    if element_type == STRING:
        return np.dtype(object)
    if element_type == BFLOAT16 or word.startswith(("float8", "float4")):
        return np.dtype(np.float32)
    return np.dtype({"int4": "int8", "uint4": "uint8", "int2": "int8", "uint2": "uint8"}.get(word, word))


def byte_count(element_type: int, count: int) -> int:
    """Bytes that ``count`` elements take inside the runtime; strings are guessed."""
    if element_type == STRING:
        return 64 * count
    if element_type in _BITS:
        return (count * _BITS[element_type] + 7) // 8
    dtype = numpy_dtype(element_type)
    return count * (dtype.itemsize if dtype is not None else 4)


def storage_dtype(element_type: int) -> np.dtype[Any]:
    """The dtype of the stored bits, for types that numpy lacks an unsigned integer of their width."""
    import numpy as np

    if element_type == BFLOAT16:
        return np.dtype(np.uint16)
    if element_type in _FLOAT8:
        return np.dtype(np.uint8)
    dtype = numpy_dtype(element_type)
    return dtype if dtype is not None else np.dtype(np.uint8)


def from_bits(bits: bytes | Array, element_type: int, shape: tuple[int, ...]) -> Array:
    """Stored little-endian bytes as an array, over these bytes where it can be; what numpy lacks is widened exactly."""
    import numpy as np

    if element_type == BFLOAT16:
        wide = np.frombuffer(bits, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(shape)
    if element_type in _BITS and element_type not in (14, 15):
        from onnx import TensorProto, numpy_helper

        array = numpy_helper.to_array(TensorProto(data_type=element_type, dims=shape, raw_data=bytes(bits)))
        return np.asarray(array).astype(numpy_dtype(element_type))
    dtype = storage_dtype(element_type).newbyteorder("<")
    return np.frombuffer(bits, dtype).reshape(shape).astype(storage_dtype(element_type), copy=False)


def to_ort_value(array: Array, element_type: int) -> Any:
    """An OrtValue over the array's own memory, which must already have the dtype ``numpy_dtype(element_type)``.

    Strings come back as they are: onnxruntime takes them from numpy only.
    """
    import numpy as np
    from onnxruntime import OrtValue

    if element_type == STRING:
        return array
    if element_type in _NATIVE:
        return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    return stored_ort_value(_to_stored(array, element_type), element_type)


def stored_ort_value(stored: Array, element_type: int) -> Any:
    """An OrtValue over stored bits (see ``storage_dtype``); the caller keeps the array alive."""
    from onnxruntime import OrtValue

    if element_type in _NATIVE:
        return OrtValue.ortvalue_from_numpy(stored)
    return OrtValue.ortvalue_from_numpy_with_onnx_type(stored, element_type)


def _to_stored(array: Array, element_type: int) -> Array:
    """Round float32 to the nearest bfloat16 or float8 and return its bits."""
    import numpy as np
    from onnx import helper

    try:
        dtype = helper.tensor_dtype_to_np_dtype(element_type)  # ml_dtypes' own types since onnx 1.17
        if dtype.itemsize == storage_dtype(element_type).itemsize:
            return np.ascontiguousarray(array.astype(dtype)).view(storage_dtype(element_type)).reshape(array.shape)
    except (KeyError, TypeError):
        pass
    tensor = helper.make_tensor("value", element_type, array.shape, np.asarray(array, np.float32).ravel())
    bits = tensor.raw_data or np.asarray(tensor.int32_data, np.int64).astype(storage_dtype(element_type)).tobytes()
    return np.frombuffer(bits, storage_dtype(element_type)).reshape(array.shape)


def from_ort_value(value: Any, *, share: bool = False) -> tuple[Array, int]:
    """What a run returned as (array, element type); ``value`` is an OrtValue or, for strings, an array.

    The array owns its numbers, or with ``share`` keeps the OrtValue alive that does: nobody else writes to a result.
    """
    import numpy as np

    if isinstance(value, np.ndarray):
        return value.copy(), _numpy_element_type(value)
    number = value.element_type()
    if share and number in _NATIVE and value.device_name().lower() == "cpu":
        return _shared(value, number), number
    if number in _NATIVE or number == STRING:
        return np.array(value.numpy(), copy=True, order="C"), number
    size = value.tensor_size_in_bytes()
    bits = ctypes.string_at(value.data_ptr(), size) if size else b""
    return from_bits(bits, number, tuple(value.shape())), number


def _shared(value: Any, number: int) -> Array:
    import numpy as np

    size, shape, dtype = value.tensor_size_in_bytes(), value.shape(), numpy_dtype(number)
    if not size:
        return np.empty(shape, dtype)
    memory = (ctypes.c_char * size).from_address(value.data_ptr())
    memory.owner = value  # type: ignore[attr-defined]  # numpy keeps the buffer, the buffer keeps the value
    held: Array = np.frombuffer(memory, dtype=dtype).reshape(shape)
    return held


def _numpy_element_type(array: Array) -> int:
    return STRING if array.dtype.kind in "OUS" else _NUMBERS[array.dtype.name]
