"""Read a TFLite flatbuffer into plain records, checking everything before a native interpreter sees it."""

from __future__ import annotations

import importlib
import importlib.util
import math
import sys
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from aligner.adapters.tflite_adapter.flatbuffer import Table, damaged
from aligner.errors import MissingFrameworkError, ModelFormatError
from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization

MAGIC = b"TFL3"
NO_TENSOR = -1
_PLACEHOLDER_FOR_GREATER_OP_CODES = 127
_CONTROL_METADATA = "model_control_dependencies"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a subgraph. ``signature`` has -1 where the size is not known before running."""

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    variable: bool
    sparse: bool
    ranked: bool
    """False where nothing is said of the shape, not even the number of axes."""
    content: tuple[int, int] | None
    """Begin and end of its constant data in the file; None for a tensor that is computed or fed."""
    table: Table


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator; ``options`` are the schema's own names, ``custom`` tells a custom operator by its code."""

    index: int
    op: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    table: Table


@dataclass(frozen=True, slots=True)
class Subgraph:
    """Operators in execution order and the tensors they share."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Table


@dataclass(frozen=True, slots=True)
class SignatureDef:
    """The names by which an exporter offers a subgraph's inputs and outputs: name → tensor index."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Model:
    """The whole file."""

    data: bytes
    subgraphs: tuple[Subgraph, ...]
    signatures: tuple[SignatureDef, ...]
    controlled: bool
    """The file prescribes an order between operators that share no tensor."""

    @property
    def main(self) -> Subgraph:
        """The subgraph that runs when the model is invoked."""
        return self.subgraphs[0]


@lru_cache(maxsize=1)
def schema() -> ModuleType:
    """The generated schema of whichever runtime is installed; TensorFlow itself is not imported for it."""
    try:
        if importlib.util.find_spec("ai_edge_litert.schema_py_generated"):
            return importlib.import_module("ai_edge_litert.schema_py_generated")
    except ModuleNotFoundError:
        pass
    try:
        return _tensorflow_schema()
    except ImportError as error:
        raise MissingFrameworkError(
            "reading TFLite models needs a runtime that brings their schema",
            found=f"neither ai-edge-litert nor tensorflow could be used ({error})",
            hint='pip install "aligner[tflite]"',
        ) from error


def _tensorflow_schema() -> ModuleType:
    name = "aligner._tflite_schema_of_tensorflow"
    spec = importlib.util.find_spec("tensorflow")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "lite" / "python" / "schema_py_generated.py"
        found = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
        if found is not None and found.loader is not None:
            module = importlib.util.module_from_spec(found)
            sys.modules[name] = module
            found.loader.exec_module(module)
            return module
    raise ModuleNotFoundError("tensorflow without lite/python/schema_py_generated.py")


def read_model(data: bytes) -> Model:
    """Walk the whole file; ModelFormatError where it is no TFLite model or an offset or index leads nowhere."""
    _check_magic(data)
    root = Table.root(data)
    codes = [_operator_code(table) for table in root.tables(1)]
    buffers = [_buffer_span(table) for table in root.tables(4)]
    subgraphs = tuple(_read_subgraph(table, codes, buffers) for table in root.tables(2))
    if not subgraphs:
        raise damaged("no subgraph")
    for subgraph in subgraphs:
        _check_callees(subgraph, len(subgraphs))
    metadata = {table.text(0) for table in root.tables(6)}
    return Model(
        data, subgraphs, tuple(_read_signature(t, subgraphs) for t in root.tables(7)), _CONTROL_METADATA in metadata
    )


def _check_magic(data: bytes) -> None:
    if data[4:8] == MAGIC and len(data) >= 16:
        return
    found = "an empty file" if not data else f"{len(data)} bytes beginning with {data[:8]!r}"
    raise ModelFormatError(
        "this is not a TFLite model", found=found, hint="a TFLite file has the letters TFL3 at bytes 4 to 8"
    )


@lru_cache(maxsize=4)
def _words(enumeration: str) -> Mapping[int, str]:
    return {value: name for name, value in vars(getattr(schema(), enumeration)).items() if name[0].isalpha()}


def dtype_word(code: int) -> str:
    """The name of a TensorType: "float32", "resource"."""
    return _words("TensorType").get(code, f"type{code}").lower()


def _operator_code(table: Table) -> tuple[str, bool]:
    # Codes above 127 stand in the newer field alone, older writers fill the older one alone: the schema says maximum.
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    custom = table.text(1)
    word = _words("BuiltinOperator").get(code, f"BUILTIN_{code}")
    if word == "CUSTOM":
        return custom or "CUSTOM", True
    return word, False


def _buffer_span(table: Table) -> tuple[int, int] | None:
    offset, size = table.scalar(1, "Q"), table.scalar(2, "Q")
    if offset > 1:
        if offset + size > len(table.data):
            raise damaged(f"a buffer of {size} bytes at byte {offset} reaches past byte {len(table.data)}")
        return offset, offset + size
    vector = table.vector(0, 1)
    return (vector.position, vector.position + vector.length) if vector and vector.length else None


def _read_subgraph(table: Table, codes: list[tuple[str, bool]], buffers: list[tuple[int, int] | None]) -> Subgraph:
    tensors = tuple(_read_tensor(index, child, buffers) for index, child in enumerate(table.tables(0)))
    for tensor in tensors:
        _check_scales(tensor)
    operators = tuple(_read_operator(index, child, codes) for index, child in enumerate(table.tables(3)))
    subgraph = Subgraph(table.text(4), tensors, operators, table.numbers(1, "i"), table.numbers(2, "i"), table)
    used = [(subgraph.inputs, "the inputs"), (subgraph.outputs, "the outputs")]
    used += [(o.inputs + o.outputs, f"operator {o.index} ({o.op})") for o in operators]
    for indices, where in used:
        wrong = [index for index in indices if not NO_TENSOR <= index < len(tensors)]
        if wrong:
            raise damaged(f"{where} of a subgraph refer to tensor {wrong[0]}; there are {len(tensors)}")
    if any(index == NO_TENSOR for index in subgraph.inputs + subgraph.outputs):
        raise damaged("an input or output of a subgraph is no tensor")
    return subgraph


def _read_tensor(index: int, table: Table, buffers: list[tuple[int, int] | None]) -> Tensor:
    shape = table.numbers(0, "i")
    if any(size < 0 for size in shape):
        shape = tuple(max(size, 1) for size in shape)
    buffer = table.scalar(2, "I")
    if buffer >= max(len(buffers), 1):
        raise damaged(f"tensor {index} refers to buffer {buffer}; there are {len(buffers)}")
    variable = bool(table.scalar(5, "B"))
    return Tensor(
        index=index,
        name=table.text(3),
        shape=shape,
        signature=table.numbers(7, "i") or table.numbers(0, "i"),
        dtype=dtype_word(table.scalar(1, "b")),
        quantization=_read_quantization(table),
        variable=variable,
        sparse=bool(table.field(6)),
        ranked=bool(table.field(0) or table.scalar(8, "B")),
        content=buffers[buffer] if buffers and not variable else None,
        table=table,
    )


def _read_quantization(tensor: Table) -> Quantization | None:
    table = tensor.table(4)
    scale = table.numbers(2, "f") if table else ()
    if table is None or not scale:
        return None
    zero_point = table.numbers(3, "q") or (0,) * len(scale)
    return Quantization(scale, zero_point, table.scalar(6, "i") if len(scale) > 1 else None)


def _check_scales(tensor: Tensor) -> None:
    """Scales for each slice of what the model computes must be as many as the slices."""
    of = tensor.quantization
    if of is None or of.axis is None or tensor.content is not None or not tensor.ranked:
        return
    if not 0 <= of.axis < len(tensor.shape) or tensor.shape[of.axis] != len(of.scale):
        shape = "×".join(map(str, tensor.shape)) or "a scalar"
        raise damaged(f"tensor {tensor.index} ({shape}) has {len(of.scale)} scales along axis {of.axis}")


def _read_operator(index: int, table: Table, codes: list[tuple[str, bool]]) -> Operator:
    code = table.scalar(0, "I")
    if code >= len(codes):
        raise damaged(f"operator {index} refers to operator code {code}; there are {len(codes)}")
    op, custom = codes[code]
    return Operator(
        index=index,
        op=op,
        custom=custom,
        inputs=table.numbers(1, "i"),
        outputs=table.numbers(2, "i"),
        options=MappingProxyType(_read_options(index, table)),
        table=table,
    )


def _read_options(index: int, table: Table) -> dict[str, Any]:
    """The operator's options under the schema's names; {} for kinds that the installed schema does not know."""
    for type_field, creator in ((3, "BuiltinOptionsCreator"), (11, "BuiltinOptions2Creator")):
        kind = table.scalar(type_field, "B")
        options = table.table(type_field + 1) if kind else None
        create = getattr(schema(), creator, None)
        if options is None or create is None:
            continue
        known = table.reading.options.get((kind, options.position))
        if known is not None:
            return dict(known)
        raw = importlib.import_module("flatbuffers.table").Table(table.data, options.position)
        try:
            unpacked = create(kind, raw)
        except Exception as error:  # the generated code fails in many ways
            raise damaged(f"the options of operator {index} cannot be read ({error})") from error
        if unpacked is not None:
            table.reading.options[kind, options.position] = dict(vars(unpacked))
            return dict(vars(unpacked))
    return {}


def _check_callees(subgraph: Subgraph, count: int) -> None:
    for operator in subgraph.operators:
        for key, value in operator.options.items():
            if key.lower().endswith("subgraphindex") and isinstance(value, int) and not -1 <= value < count:
                raise damaged(f"operator {operator.index} ({operator.op}) calls subgraph {value}; there are {count}")


def _read_signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> SignatureDef:
    index = table.scalar(4, "I")
    if index >= len(subgraphs):
        raise damaged(f"a signature refers to subgraph {index}; there are {len(subgraphs)}")
    inputs, outputs = ({t.text(0): t.scalar(1, "I") for t in table.tables(field)} for field in (0, 1))
    for tensor in (*inputs.values(), *outputs.values()):
        if tensor >= len(subgraphs[index].tensors):
            raise damaged(f"a signature refers to tensor {tensor}")
    return SignatureDef(table.text(2), index, MappingProxyType(inputs), MappingProxyType(outputs))


def element_count(shape: tuple[int, ...]) -> int:
    """The number of elements of a shape; 1 for a scalar."""
    return math.prod(shape)
