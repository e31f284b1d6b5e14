"""An ONNX model in memory: the graph without its large tensors, and the tensors, read when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.adapters.onnx_adapter.dtypes import STRING, from_bits, is_shareable, numpy_dtype, storage_dtype
from aligner.adapters.onnx_adapter.embedded import OwnFile, read_without_weights
from aligner.adapters.onnx_adapter.external import REEXPORT, place_of, place_within
from aligner.adapters.onnx_adapter.order import sort_nodes
from aligner.adapters.onnx_adapter.structure import check_reads, check_structure, every_tensor, inner_tensors, malformed
from aligner.adapters.onnx_adapter.text import has_broken_text
from aligner.errors import ModelFormatError, ModelNotFoundError, UnsupportedModelError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_EXTERNAL = 1
_SMALL = 1024
"""Elements up to which a tensor stays in the graph: shapes, axes and scales must be there for shape inference."""
_SECOND_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca")
"""What may follow ir_version in a ModelProto: producer, domain, version, docs, graph, opsets, metadata, functions."""


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """``skeleton`` is the ModelProto whose large initializers are stubs; ``tensors`` holds these, by name.

    ``original`` is the ModelProto as it came; ``path`` is None for a live object.
    """

    skeleton: Any
    tensors: Mapping[str, Any]
    original: Any
    path: Path | None
    own: OwnFile | None = None
    """The file itself, where large weights were left in it."""
    external: bool = False
    """Whether tensors lie in other files, which a runtime that is given the path would open by itself."""

    def __str__(self) -> str:
        return str(self.path) if self.path is not None else "the ModelProto"

    def stored(self, tensor: Any) -> Array:
        """The tensor's bits as an array of its ``storage_dtype``; external data is mapped, not read."""
        try:
            return self._stored(tensor)
        except ValueError as error:  # sizes whose product no array has
            raise _unreadable(tensor, error) from error

    def _stored(self, tensor: Any) -> Array:
        import numpy as np

        dtype = storage_dtype(tensor.data_type)
        shape = tuple(tensor.dims)
        if (within := self._within(tensor)) is not None:
            # Read, not mapped: in the model itself bytes need not lie at addresses that suit numbers.
            whole = within[: within.size - within.size % dtype.itemsize]
            return _shaped(whole.view(dtype.newbyteorder("<")), tensor)
        if tensor.data_location == _EXTERNAL:
            path, offset, length = place_of(tensor, self.path)
            count = int(np.prod(shape, dtype=np.int64))
            if not count:
                return np.zeros(shape, dtype)
            _check_length(tensor, count * dtype.itemsize, length)
            return np.memmap(path, dtype.newbyteorder("<"), "r", offset, shape)
        if tensor.HasField("raw_data"):
            stored = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<"))
            return _shaped(stored, tensor)
        return np.ascontiguousarray(_inline(tensor)).view(dtype).reshape(shape)

    def array(self, tensor: Any) -> Array:
        """The tensor as a read-only array; bfloat16 and float8 widened to float32."""
        if tensor.data_location == _EXTERNAL:
            within = self._within(tensor)
            try:
                bits = self.bits(tensor) if within is None else within
                array = from_bits(bits, tensor.data_type, tuple(tensor.dims))
            except ValueError as error:
                raise _unreadable(tensor, error) from error
        else:
            array = _widened(_inline(tensor), tensor.data_type)
        array.flags.writeable = False
        return array

    def bits(self, tensor: Any) -> bytes:
        """The bytes of an external tensor."""
        if (within := self._within(tensor)) is not None:
            return within.tobytes()
        path, offset, length = place_of(tensor, self.path)
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    def place(self, tensor: Any) -> tuple[int, ...] | None:
        """Device, file, time of its last change, offset and length of an external tensor's bytes; None for others."""
        if tensor.data_location != _EXTERNAL or place_within(tensor) is not None:
            return None
        path, offset, length = place_of(tensor, self.path)
        found = path.stat()
        return found.st_dev, found.st_ino, found.st_mtime_ns, offset, length

    def _within(self, tensor: Any) -> NDArray[np.uint8] | None:
        """The bytes of a tensor that was left in the model's own file."""
        place = place_within(tensor) if self.own is not None and tensor.data_location == _EXTERNAL else None
        return self.own.read(*place) if self.own is not None and place is not None else None


def looks_like_onnx(head: bytes) -> bool:
    """Whether a file may begin so: an ir_version, then another field of ModelProto."""
    return len(head) > 2 and head[0] == 0x08 and 0 < head[1] < 64 and head[2] in _SECOND_TAGS and head[4:8] != b"TFL3"


def read_onnx(path: Path) -> OnnxFile:
    """Parse a file; external data stays on disk. Raises ModelFormatError, ModelNotFoundError, UntrustedFileError."""
    import onnx

    if path.is_dir():
        raise ModelFormatError(f"{path} is a directory", found="no single model", hint="name the .onnx file in it")
    try:
        with path.open("rb") as file:
            head = file.read(16)
        _check_head(path, head)
        thin = read_without_weights(path)
        model, own = thin or (onnx.load(path, load_external_data=False, format="protobuf"), None)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path} does not exist", found="no such file", hint="check the path") from error
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise ModelFormatError(f"{path} cannot be read", found=str(error), hint=REEXPORT) from error
    except Exception as error:
        if type(error).__name__ != "DecodeError":
            raise
        raise ModelFormatError(f"{path} is no valid ONNX model", found=f"{error}", hint=REEXPORT) from error
    return wrap_onnx(model, path, own)


def _check_head(path: Path, head: bytes) -> None:
    if not head:
        raise ModelFormatError(f"{path} is empty", found="0 bytes", hint=REEXPORT)
    if head[4:8] == b"ORTM":
        raise UnsupportedModelError(
            f"{path} is in onnxruntime's own format, whose graph cannot be taken apart",
            found="an ORT flatbuffer",
            hint="give the .onnx file that it was made from",
        )
    other = next((name for magic, name in ((b"PK\x03\x04", "a zip archive"),) if head.startswith(magic)), None)
    other = "a TFLite model" if head[4:8] == b"TFL3" else other
    if other:
        raise ModelFormatError(f"{path} is no ONNX model", found=other, hint="rename it to what it is")


def wrap_onnx(model: Any, path: Path | None, own: OwnFile | None = None) -> OnnxFile:
    """Split a ModelProto into skeleton and tensors; the model itself is not changed.

    ``own``: the file that large weights were left in.
    """
    if not model.HasField("graph") or not model.graph.output:
        raise ModelFormatError(
            f"{path or 'the ModelProto'} is no complete ONNX model",
            found=f"{len(model.graph.node)} nodes and no graph output",
            hint=REEXPORT,
        )
    if has_broken_text(model):
        raise ModelFormatError(
            f"{path or 'the ModelProto'} is damaged", found="a name in it is not UTF-8 text", hint=REEXPORT
        )
    check_structure(model, str(path or "the ModelProto"))
    for tensor in every_tensor(model):
        _check_tensor(tensor, path, own)
    for tensor in inner_tensors(model):
        if tensor.data_location != _EXTERNAL and prod(tensor.dims) <= _SMALL:
            _inline(tensor)
    external = path is not None and any(
        tensor.data_location == _EXTERNAL and place_within(tensor) is None for tensor in every_tensor(model)
    )
    if external:
        _take_in(model, path)
    skeleton, tensors = _split(model)
    skeleton = _without_functions(skeleton, str(path or "the ModelProto"))
    check_reads(skeleton.graph, str(path or "the ModelProto"))
    sort_nodes(skeleton.graph)
    return OnnxFile(skeleton, tensors, model, path, own, external)


def _split(model: Any) -> tuple[Any, dict[str, Any]]:
    import onnx

    skeleton = onnx.ModelProto()
    for field, value in model.ListFields():
        if field.name == "graph":
            continue
        if isinstance(value, (int, float, str)):
            setattr(skeleton, field.name, value)
        else:
            getattr(skeleton, field.name).MergeFrom(value)
    graph = skeleton.graph
    graph.name = model.graph.name
    for name in ("node", "input", "output", "value_info", "sparse_initializer", "quantization_annotation"):
        getattr(graph, name).extend(getattr(model.graph, name))
    tensors: dict[str, Any] = {}
    for tensor in model.graph.initializer:
        if (prod(tensor.dims) <= _SMALL and tensor.data_location != _EXTERNAL) or tensor.data_type == STRING:
            graph.initializer.append(tensor)
        else:
            graph.initializer.append(stub(tensor))
            tensors[tensor.name] = tensor
    return skeleton, tensors


def stub(tensor: Any) -> Any:
    """A TensorProto of the same name, type and shape whose data is said to lie elsewhere."""
    import onnx

    empty = onnx.TensorProto(
        name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, data_location=onnx.TensorProto.EXTERNAL
    )
    empty.external_data.add(key="location", value="given at run time")
    return empty


def is_sharable_stub(tensor: Any) -> bool:
    """Whether a stub's data can be handed to onnxruntime from memory; otherwise it must be written into the graph."""
    return is_shareable(tensor.data_type)


def _without_functions(model: Any, title: str) -> Any:
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # onnx raises classes of its own, and what its C++ does
        raise malformed(
            title, f"functions that cannot be inlined: {(str(error).splitlines() or [''])[0][-200:]}"
        ) from error


def _take_in(model: Any, path: Path | None) -> None:
    """Read external data of all but the graph's own initializers; onnxruntime would look in the working directory."""
    for tensor in inner_tensors(model):
        if tensor.data_location != _EXTERNAL:
            continue
        place, offset, length = place_of(tensor, path)
        with place.open("rb") as file:
            file.seek(offset)
            tensor.raw_data = file.read(length)
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _check_tensor(tensor: Any, model: Path | None, own: OwnFile | None) -> None:
    if any(size < 0 for size in tensor.dims):
        raise ModelFormatError(
            f"tensor {tensor.name!r} has a negative size", found=f"{list(tensor.dims)}", hint=REEXPORT
        )
    if tensor.data_type == 0:
        raise ModelFormatError(f"tensor {tensor.name!r} has no type", found="UNDEFINED", hint=REEXPORT)
    if tensor.data_location == _EXTERNAL and (own is None or place_within(tensor) is None):
        place_of(tensor, model)


def _check_length(tensor: Any, wanted: int, length: int) -> None:
    if length < wanted:
        raise ModelFormatError(
            f"the external data of tensor {tensor.name!r} is too short",
            found=f"{length} bytes for shape {list(tensor.dims)}, {wanted} needed",
            hint=REEXPORT,
        )


def _shaped(stored: Array, tensor: Any) -> Array:
    if stored.size != prod(tensor.dims):
        raise ModelFormatError(
            f"tensor {tensor.name!r} does not fill its shape",
            found=f"{stored.size} elements for shape {list(tensor.dims)}",
            hint=REEXPORT,
        )
    return stored.reshape(tuple(tensor.dims))


def _inline(tensor: Any) -> Array:
    import numpy as np
    from onnx import numpy_helper

    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError) as error:
        raise _unreadable(tensor, error) from error


def _unreadable(tensor: Any, error: Exception) -> ModelFormatError:
    return ModelFormatError(
        f"tensor {tensor.name!r} cannot be read", found=f"{error}; shape {list(tensor.dims)}", hint=REEXPORT
    )


def _widened(array: Array, element_type: int) -> Array:
    import numpy as np

    dtype = numpy_dtype(element_type)
    if dtype is not None and dtype.kind == "O":
        return np.array([_text(item) for item in array.ravel()], object).reshape(array.shape)
    return np.asarray(array, dtype)


def _text(item: object) -> str:
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
