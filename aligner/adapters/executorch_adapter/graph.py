"""A method as the framework-neutral graph."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from aligner.adapters.aten_kinds import kind_of, normalise_attributes
from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.operators import EXECUTION_ONLY, is_quantizing
from aligner.adapters.executorch_adapter.program import Program, Step, members
from aligner.adapters.executorch_adapter.program_file import ProgramFile, bytes_of, dtype_word, torch_dtype
from aligner.operations.call import STORED
from aligner.records.array import Array
from aligner.records.graph import Graph, InputSpec, Node, Quantization, Shape, Signature, Value, Weight


def signature_of(program: Program) -> Signature:
    """Inputs go by their number: a program keeps no names."""
    specs = (
        InputSpec(program.names[place], shape_of(program.values[place]), dtype_word(program.values[place]))
        for place in program.inputs
    )
    return Signature(tuple(specs), tuple(program.name_of(place) for place in program.outputs))


def shape_of(tensor: Any) -> Shape:
    """The sizes; of one that changes its shape only the most that each may be is known."""
    if tensor.shape_dynamism.name == "STATIC":
        return tuple(tensor.sizes)
    return tuple(None if size > 1 else size for size in tensor.sizes)


def build_graph(
    file: ProgramFile, program: Program, shapes: Mapping[str, Shape], grids: Mapping[int, Quantization]
) -> Graph:
    """The graph; ``shapes`` replaces declared shapes by those that a run showed."""
    values = {
        name: Value(
            name,
            name,
            shapes.get(name, shape_of(program.values[place])),
            dtype_word(program.values[place]),
            quantization=grids.get(place),
        )
        for place, name in program.names.items()
    }
    weights = {
        name: _weight(file, program.values[place], name, grids.get(place)) for place, name in program.weights.items()
    }
    return Graph(
        framework="executorch",
        nodes=(_whole(program),) if program.whole else tuple(_nodes(program)),
        values=MappingProxyType(values),
        weights=MappingProxyType(weights),
        inputs=tuple(program.names[place] for place in program.inputs),
        outputs=tuple(program.name_of(place) for place in program.outputs),
    )


def _whole(program: Program) -> Node:
    inputs = tuple(program.names[place] for place in program.inputs)
    outputs = tuple(program.names[place] for place in program.outputs if place not in program.inputs)
    return Node(0, "program", "executorch::program", "opaque", inputs, outputs)


def _weight(file: ProgramFile, tensor: Any, name: str, grid: Quantization | None) -> Weight:
    held = file.stored(tensor)

    def load() -> Array:
        return constant_of(held, tensor)

    return Weight(name, tuple(tensor.sizes), dtype_word(tensor), load, grid, place=lambda: id(held))


def constant_of(held: bytes, tensor: Any) -> Array:
    """The numbers of a constant, its axes in the order of its shape."""
    import torch

    from aligner.adapters.pytorch_adapter.tensors import to_array

    order = [int(axis) for axis in tensor.dim_order] or list(range(len(tensor.sizes)))
    sizes = [tensor.sizes[axis] for axis in order]
    flat = bytearray(held[: bytes_of(tensor)])
    stored = torch.frombuffer(flat, dtype=torch_dtype(tensor)) if flat else torch.empty(0, dtype=torch_dtype(tensor))
    return to_array(stored.reshape(sizes).permute([order.index(axis) for axis in range(len(order))]))


def _nodes(program: Program) -> list[Node]:
    nodes: list[Node] = []
    for step in program.steps:
        outputs = tuple(program.names.get(place, "") for place in program.tensors(step.writes))
        if not any(outputs):
            continue
        inputs = _operands(program, step)
        weights = tuple(dict.fromkeys(name for name in inputs if name in program.weights.values()))
        name = next(filter(None, outputs))
        if len(tuple(filter(None, outputs))) > 1:
            name = name.rpartition(".")[0]
        attributes, kind = _attributes(program, step)
        op = step.op if step.inner is None else step.inner.op
        nodes.append(Node(len(nodes), name, op, kind, inputs, outputs, weights, MappingProxyType(attributes)))
    return nodes


def _operands(program: Program, step: Step) -> tuple[str, ...]:
    """In the order of the arguments; what is left out at the end is no operand."""
    if step.inner is not None:
        return tuple(map(program.name_of, step.inner.operands))
    operands: list[str] = []
    places = step.arguments[:1] if is_quantizing(step.op) else step.arguments  # the grid is no operand
    for number, place in enumerate(places):
        if number in step.signature.written or set(members(program.values, place)) <= set(step.writes):
            continue
        found = [program.name_of(one) for one in program.tensors([place])]
        operands += found or ([""] if number in step.signature.optional else [])
    while operands and not operands[-1]:
        operands.pop()
    return tuple(operands)


def _attributes(program: Program, step: Step) -> tuple[dict[str, Any], str]:
    """Neutral names and values, and the kind: a convolution is told from its transpose by its flag."""
    if step.inner is not None:
        return dict(step.inner.attributes), step.inner.kind
    if not step.signature.names:
        return ({}, kind_of(step.op)) if step.op == "aten::view" else ({}, "opaque")
    said: dict[str, Any] = {}
    computed: list[str] = []
    for name, place in zip(step.signature.names, step.arguments, strict=False):
        if name in EXECUTION_ONLY or program.tensors([place]):
            continue
        if any(one in program.computed for one in (place, *members(program.values, place))):
            computed.append(name)
            continue
        value = _plain(program, place)
        if value is not None:
            said[name] = _dtype(value) if name == "dtype" else value
    if is_quantizing(step.op) and step.op != "aten::dequantize":
        limits = (said.get("quant_min"), said.get("quant_max"))
        computed += [] if limits == STORED.get(dtype_word(program.values[step.writes[0]])) else ["quant_min"]
    if computed:
        said["computed"] = tuple(computed)
    kind, transposed = kind_of(step.op), said.pop("transposed", False)
    if step.op == "aten::convolution":
        kind = "conv_transpose" if transposed else "conv"
        if not transposed:
            said.pop("output_padding", None)
    weight: Any = program.values[step.arguments[1]] if len(step.arguments) > 1 else None
    sizes = tuple(weight.sizes) if hasattr(weight, "sizes") else None
    found = normalise_attributes(step.op, said, sizes)
    if step.op in ("aten::index", "aten::index_put"):
        listed = members(program.values, step.arguments[1])
        found["index"] = ", ".join("tensor" if one >= 0 and program.is_tensor(one) else ":" for one in listed)
    return found, kind


def _plain(program: Program, place: int) -> Any:
    """A number, a text or a list; None for what is absent."""
    schema = executorch().schema
    held = program.values[place]
    if isinstance(held, schema.IntList):
        return [program.values[one].int_val for one in held.items]
    if isinstance(held, (schema.DoubleList, schema.BoolList)):
        return list(held.items)
    for kind, field in (("Int", "int_val"), ("Bool", "bool_val"), ("Double", "double_val"), ("String", "string_val")):
        if isinstance(held, getattr(schema, kind)):
            value = getattr(held, field)
            return float(value) if kind == "Double" else value
    return None


def _dtype(number: Any) -> str:
    from executorch.exir.scalar_type import ScalarType

    class Like:
        scalar_type = ScalarType(number)

    return dtype_word(Like)
