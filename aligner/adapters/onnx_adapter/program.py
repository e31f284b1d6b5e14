"""A model's top level, indexed, and pieces of it: runs of nodes made into models of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aligner.adapters.onnx_adapter.constants import is_constant
from aligner.adapters.onnx_adapter.dtypes import STRING, stored_ort_value
from aligner.adapters.onnx_adapter.file import OnnxFile, is_sharable_stub
from aligner.adapters.onnx_adapter.names import reads, rename_reads
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.records.dataclass import dataclass

_OLDEST_IR = 4
"""From this IR version on, initializers need not be listed as inputs."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """``reads`` and ``writes`` are by node position; ``constants`` holds positions of Constant nodes, by output."""

    file: OnnxFile
    model: Any
    types: Mapping[str, ValueType]
    nodes: tuple[Any, ...]
    reads: tuple[tuple[str, ...], ...]
    writes: tuple[tuple[str, ...], ...]
    producer: Mapping[str, int]
    initializers: Mapping[str, Any]
    sparse: Mapping[str, Any]
    constants: Mapping[str, int]
    inputs: Mapping[str, Any]

    def is_fixed(self, name: str) -> bool:
        """Whether the name stands for a constant, which every piece can hold itself."""
        return name in self.initializers or name in self.sparse or name in self.constants


def index_program(file: OnnxFile, model: Any, types: Mapping[str, ValueType]) -> Program:
    """Index a prepared model."""
    graph = model.graph
    nodes = tuple(graph.node)
    writes = tuple(tuple(name for name in node.output if name) for node in nodes)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
    return Program(
        file=file,
        model=model,
        types=types,
        nodes=nodes,
        reads=tuple(tuple(dict.fromkeys(name for name in reads(node) if name)) for node in nodes),
        writes=writes,
        producer={name: position for position, names in enumerate(writes) for name in names},
        initializers=initializers,
        sparse=sparse,
        constants={
            node.output[0]: position for position, node in enumerate(nodes) if is_constant(node) and node.output
        },
        inputs=fed_inputs(graph),
    )


def fed_inputs(graph: Any) -> dict[str, Any]:
    """A graph's inputs that no weight stands for, by name."""
    stored = {tensor.name for tensor in graph.initializer} | {each.values.name for each in graph.sparse_initializer}
    return {value.name: value for value in graph.input if value.name not in stored}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A ModelProto of some of the nodes, and the initializers that must be handed to the session beside it."""

    model: Any
    stubs: dict[str, Any]
    keep_alive: tuple[Any, ...]
    """The arrays under ``stubs``; must outlive the session."""


def make_piece(
    program: Program,
    positions: Sequence[int],
    outputs: Iterable[str],
    feeds: Mapping[str, Any],
    renamed: Mapping[str, str],
    *,
    absent: frozenset[str] = frozenset(),
) -> Piece:
    """Make a model of the nodes at ``positions``, whose inputs are ``feeds``.

    ``renamed`` maps values to the feeds that their consumers read instead; ``absent`` are weights left to the caller.
    """
    import onnx

    model = onnx.ModelProto(ir_version=max(program.model.ir_version, _OLDEST_IR))
    model.opset_import.extend(program.model.opset_import)
    model.functions.extend(program.model.functions)
    graph = model.graph
    graph.name = program.model.graph.name or "graph"
    outputs = list(outputs)
    needed = dict.fromkeys(name for name in outputs if name in program.initializers or name in program.sparse)
    for position in positions:
        needed |= dict.fromkeys(name for name in program.reads[position] if name not in renamed)
    inside = set(positions)
    for name in needed:
        at = program.constants.get(name)
        if at is not None and at not in inside and name not in feeds:
            graph.node.append(program.nodes[at])
    for position in positions:
        graph.node.append(program.nodes[position])
        if any(name in renamed for name in program.reads[position]):
            rename_reads(graph.node[-1], renamed)
    stubs, alive = _add_initializers(
        program, graph, [name for name in needed if name not in feeds and name not in absent]
    )
    graph.input.extend(_input(name, value, program) for name, value in feeds.items())
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    return Piece(model, stubs, alive)


def _add_initializers(program: Program, graph: Any, names: list[str]) -> tuple[dict[str, Any], tuple[Any, ...]]:
    stubs: dict[str, Any] = {}
    alive: list[Any] = []
    for name in names:
        if name in program.sparse:
            graph.sparse_initializer.append(program.sparse[name])
        if name not in program.initializers:
            continue
        tensor = program.file.tensors.get(name, program.initializers[name])
        if not tensor.data_location and name not in program.file.tensors:
            graph.initializer.append(program.initializers[name])
        elif is_sharable_stub(tensor):
            graph.initializer.append(program.initializers[name])
            stored = program.file.stored(tensor)
            alive.append(stored)
            stubs[name] = stored_ort_value(stored, tensor.data_type)
        else:
            graph.initializer.append(_whole(program, tensor))
    return stubs, tuple(alive)


def _whole(program: Program, tensor: Any) -> Any:
    """The tensor with its data in it, for types that the runtime does not take from numpy."""
    import onnx

    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    if tensor.data_location:
        copy.ClearField("external_data")
        copy.ClearField("data_location")
        copy.raw_data = program.file.bits(tensor)
    return copy


def _input(name: str, value: Any, program: Program) -> Any:
    """The declaration of a feed, by what it really is."""
    from onnx import helper

    if hasattr(value, "element_type") and value.is_tensor():
        return helper.make_tensor_value_info(name, value.element_type(), list(value.shape()))
    if hasattr(value, "dtype"):
        return helper.make_tensor_value_info(name, STRING, list(value.shape))
    return program.inputs[name]  # a sequence: only the model can say of what
