"""The constant tensors of a TFLite file as arrays."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from aligner.adapters.tflite_adapter.flatbuffer import damaged, unpack
from aligner.adapters.tflite_adapter.schema import Tensor, element_count
from aligner.errors import UnsupportedModelError
from aligner.records.array import Array

_PACKED = {"int4": (4, True), "uint4": (4, False), "int2": (2, True)}
"""Types narrower than a byte: bits for each element, lowest bits first, and whether they are signed."""


def numpy_dtype(word: str) -> np.dtype[np.generic] | None:
    """The numpy type that stands for a TFLite type; None for what is no array of numbers (resource, variant)."""
    if word == "string":
        return np.dtype(object)
    if word in _PACKED:
        return np.dtype(np.int8 if _PACKED[word][1] else np.uint8)
    try:
        return np.dtype("float32" if word == "bfloat16" else word)
    except TypeError:
        return None


def load_constant(data: bytes, tensor: Tensor) -> Array:
    """A read-only copy of the tensor's content; bfloat16 as float32, strings as an object array.

    Raises ModelFormatError where the content does not fill the shape.
    """
    if tensor.variable:
        return _initial(tensor)
    begin, end = tensor.content or (0, 0)
    content = data[begin:end]
    array = _decode(content, tensor)
    if tensor.sparse:
        from aligner.adapters.tflite_adapter.sparse import densified

        array = densified(array, tensor)
    if array.size != element_count(tensor.shape):
        raise damaged(f'tensor {tensor.index} "{tensor.name}" has {array.size} elements for the shape {tensor.shape}')
    array = array.reshape(tensor.shape)
    array.flags.writeable = False
    return array


def _initial(tensor: Tensor) -> Array:
    """What TFLite sets a variable tensor to before the first run: 0, and for int8 the number that stands for 0."""
    zero_point = tensor.quantization.zero_point[0] if tensor.quantization and tensor.dtype == "int8" else 0
    array: Array = np.full(tensor.shape, zero_point, numpy_dtype(tensor.dtype) or np.float32)
    array.flags.writeable = False
    return array


def _decode(content: bytes, tensor: Tensor) -> Array:
    if tensor.dtype == "string":
        return _strings(content)
    if tensor.dtype in _PACKED:
        return _narrow(content, tensor)
    if tensor.dtype == "bfloat16":
        wide = np.frombuffer(content[: len(content) // 2 * 2], "<u2").astype(np.uint32) << np.uint32(16)
        single: Array = wide.view(np.float32)
        return single
    dtype = numpy_dtype(tensor.dtype)
    if dtype is None:
        raise UnsupportedModelError(
            f'a constant of type "{tensor.dtype}" cannot be read',
            found=f'tensor {tensor.index} "{tensor.name}"',
            hint="convert the model without constants of this type",
        )
    return np.frombuffer(content[: len(content) // dtype.itemsize * dtype.itemsize], dtype.newbyteorder("<"))


def _narrow(content: bytes, tensor: Tensor) -> Array:
    bits, signed = _PACKED[tensor.dtype]
    octets = np.frombuffer(content, np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts: Array = ((octets[:, None] >> shifts) & np.uint8((1 << bits) - 1)).ravel()[: element_count(tensor.shape)]
    if signed:
        parts = np.where(parts >= 1 << (bits - 1), parts.astype(np.int16) - (1 << bits), parts).astype(np.int8)
    return parts


def _strings(content: bytes) -> Array:
    """The format of TFLite's string tensors: a count, the offset of each string, the end, then the text."""
    if not content:
        return np.empty(0, dtype=object)
    count = unpack(content, "i", 0)
    if not 0 <= count <= len(content) // 4:
        raise damaged(f"a string tensor claims {count} strings in {len(content)} bytes")
    offsets = [unpack(content, "i", 4 + 4 * position) for position in range(count + 1)]
    strings = [content[max(a, 0) : max(b, 0)] for a, b in pairwise(offsets)]
    array = np.empty(count, dtype=object)
    array[:] = [text.decode("utf-8", errors="replace") for text in strings]
    return array
