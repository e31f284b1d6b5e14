"""What is known of every value before running: element type and shape, from ONNX's inference, then onnxruntime's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import Any

from aligner.adapters.onnx_adapter.dtypes import STRING, byte_count, dtype_word, element_type_of
from aligner.records.dataclass import dataclass
from aligner.records.graph import Shape


@dataclass(frozen=True, slots=True)
class ValueType:
    """``element`` is 0 where unknown; ``tensor`` is False for sequences, optionals and maps."""

    element: int = 0
    shape: Shape | None = None
    tensor: bool = True

    @property
    def word(self) -> str | None:
        return dtype_word(self.element)

    @property
    def carriable(self) -> bool:
        """Whether such a value can leave one runtime session and enter another."""
        return self.tensor and self.element not in (0, STRING, 21, 22, 23, 25, 26)

    def bytes(self) -> int | None:
        """Bytes of the value; None where a size is unknown."""
        if self.shape is None or None in self.shape:
            return None
        return byte_count(self.element, prod(size or 0 for size in self.shape))


def value_type(proto: Any) -> ValueType:
    """Read a TypeProto; an unset dimension, a symbolic and a negative one are all None."""
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return ValueType(tensor=kind is None)
    tensor = proto.tensor_type
    shape: Shape | None = None
    if tensor.HasField("shape"):
        shape = tuple(_size(dim) for dim in tensor.shape.dim)
    return ValueType(tensor.elem_type, shape)


def _size(dim: Any) -> int | None:
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def infer_types(
    model: Any,
    shapes: Mapping[str, tuple[int, ...]],
    ask_runtime: Callable[[list[str]], Mapping[str, tuple[str, list[Any]]]],
) -> dict[str, ValueType]:
    """Types of all top-level values; ``shapes`` are those of the inputs that will be fed.

    ``ask_runtime(names)`` answers onnxruntime's (type, shape); it is asked only for what ONNX does not know.
    """
    declared = {value.name: value_type(value.type) for value in (*model.graph.value_info, *model.graph.output)}
    types = dict(declared)
    types |= {name: kind for name, kind in _inferred(model, shapes).items() if _says_more(kind, declared.get(name))}
    for tensor in model.graph.initializer:
        types[tensor.name] = ValueType(tensor.data_type, tuple(tensor.dims))
    missing = [name for node in model.graph.node for name in node.output if name and _unknown(types.get(name))]
    if missing:
        for name, (word, shape) in ask_runtime(missing).items():
            types[name] = _from_runtime(word, shape)
    return types


def _says_more(kind: ValueType, declared: ValueType | None) -> bool:
    return declared is None or not kind.tensor or (kind.element != 0 and kind.shape is not None)


def _unknown(kind: ValueType | None) -> bool:
    return kind is None or (kind.tensor and not kind.element)


def _inferred(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, ValueType]:
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]  # stale hints make the inference stop
    for value in copy.graph.input:
        if value.name in shapes and value.type.HasField("tensor_type"):
            fix_shape(value.type, shapes[value.name])
    for value in copy.graph.output:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    try:
        copy = onnx.shape_inference.infer_shapes(copy)
    except Exception:  # noqa: BLE001 - what cannot be inferred is left to the runtime
        return {value.name: value_type(value.type) for value in copy.graph.input}
    return {
        value.name: value_type(value.type) for value in (*copy.graph.input, *copy.graph.value_info, *copy.graph.output)
    }


def fix_shape(proto: Any, shape: Iterable[int]) -> None:
    """Replace the shape of a tensor's TypeProto."""
    proto.tensor_type.ClearField("shape")
    dims = proto.tensor_type.shape
    dims.SetInParent()
    for size in shape:
        dims.dim.add(dim_value=size)


def _from_runtime(word: str, shape: list[Any]) -> ValueType:
    element = element_type_of(word)
    if element is None:
        return ValueType(tensor=False)
    # An unknown rank arrives as an empty list too, so an empty list says nothing.
    return ValueType(element, tuple(size if isinstance(size, int) else None for size in shape) if shape else None)
