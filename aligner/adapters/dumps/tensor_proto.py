"""A serialised onnx.TensorProto: its name, shape and numbers; nothing outside of it is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.dumps.dump import TEXT_LIMIT, DumpedTensor, Role, damage
from aligner.errors import MissingFrameworkError, ModelFormatError
from aligner.records.array import Array


def proto_file(file: Path, role: Role = "tensor", place: int | None = None) -> tuple[DumpedTensor, Callable[[], Array]]:
    """The tensor that a file holds, under the name that it carries, else that of the file."""
    with damage(file, "its tensor"):
        proto = parse(file.read_bytes(), str(file))
        described = DumpedTensor(proto.name or file.stem, tuple(proto.dims), dtype_of(proto), role, place)
    del proto
    return described, lambda: as_array(parse(file.read_bytes(), str(file)))


def parse(content: bytes, where: str) -> Any:
    """The message.

    Raises ModelFormatError where it is none, or says that its numbers lie in another file.
    """
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from onnx import TensorProto
    except ImportError as error:
        raise MissingFrameworkError(
            f"{where} cannot be read without onnx", found=str(error), hint='pip install "aligner[onnx]"'
        ) from error
    if len(content) > 2 * TEXT_LIMIT:
        raise ModelFormatError(
            f"{where} is too large for a message", found=f"{len(content):,} bytes", hint="dump again"
        )
    try:
        proto = TensorProto.FromString(content)
    except DecodeError as error:
        raise ModelFormatError.of(f"{where} is no TensorProto", error, "dump again") from error
    if proto.data_location == TensorProto.EXTERNAL or proto.external_data:
        raise ModelFormatError(
            f"{where} keeps its numbers in another file", found="external data", hint="dump tensors with their data"
        )
    if not _has_text(proto):
        raise ModelFormatError(f"{where} is damaged", found="its name is not UTF-8 text", hint="dump again")
    return proto


def _has_text(proto: Any) -> bool:
    """Whether the name is text; protobuf hands out bytes, or raises, where it is not UTF-8."""
    try:
        return isinstance(proto.name, str)
    except UnicodeDecodeError:
        return False


def dtype_of(proto: Any) -> str:
    """The type, in numpy's word or "bfloat16"."""
    from onnx import TensorProto, helper

    if proto.data_type == TensorProto.BFLOAT16:
        return "bfloat16"
    return str(helper.tensor_dtype_to_np_dtype(proto.data_type).name)


def as_array(proto: Any) -> Array:
    """The numbers; types that numpy lacks as float32."""
    from onnx import numpy_helper

    array: Array = numpy_helper.to_array(proto)
    return array if array.dtype.kind in "fiubc" else array.astype(np.float32)
