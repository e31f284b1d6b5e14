"""What must hold of a ModelProto before anything is made of it; nothing in it was checked by anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aligner.adapters.onnx_adapter.external import REEXPORT
from aligner.adapters.onnx_adapter.names import initializer_names, reads, subgraphs
from aligner.errors import ModelFormatError

_MESSAGE = 11
"""FieldDescriptor.type of a nested message."""
_LATEST_OPSET = (1 << 31) - 1
_MOST_INLINED = 1 << 18
"""Nodes that local functions may unfold to; exporters' largest models have some ten thousand."""
_HELD = {4: "t", 5: "g", 11: "sparse_tensor"}
"""AttributeProto.AttributeType → the field that holds it, for those that are messages."""
_CONSTANTS = {
    **{"value": "TENSOR", "sparse_value": "SPARSE_TENSOR", "value_int": "INT", "value_ints": "INTS"},
    **{"value_float": "FLOAT", "value_floats": "FLOATS", "value_string": "STRING", "value_strings": "STRINGS"},
}


def every_tensor(message: Any) -> Iterator[Any]:
    """Every TensorProto of a message, wherever it stands: in functions, branches, sparse tensors, attributes."""
    for field, value in message.ListFields():
        if field.type == _MESSAGE:
            yield from _within(value)


def inner_tensors(model: Any) -> Iterator[Any]:
    """Every TensorProto but the graph's own initializers."""
    for part, left_out in ((model, "graph"), (model.graph, "initializer")):
        for field, value in part.ListFields():
            if field.type == _MESSAGE and field.name != left_out:
                yield from _within(value)


def _within(value: Any) -> Iterator[Any]:
    for item in [value] if hasattr(value, "DESCRIPTOR") else value:
        if item.DESCRIPTOR.name == "TensorProto":
            yield item
        else:
            yield from every_tensor(item)


def check_structure(model: Any, title: str) -> None:
    """Names, operator sets, constants and the size that functions unfold to. Raises ModelFormatError."""
    graph = model.graph
    if any(not item.name for item in (*graph.input, *graph.output, *graph.initializer)):
        raise malformed(title, "an input, output or initializer has no name")
    for entry in (*model.opset_import, *(entry for function in model.functions for entry in function.opset_import)):
        if not 0 <= entry.version <= _LATEST_OPSET:
            raise malformed(title, f"version {entry.version} of the operators of {entry.domain or 'ai.onnx'!r}")
    for nodes in (graph.node, *(function.node for function in model.functions)):
        for node in _every_node(nodes):
            _check_attributes(node, title)
    _check_unfolding(model, title)


def _every_node(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for _, inner in subgraphs(node):
            yield from _every_node(inner.node)


def _check_attributes(node: Any, title: str) -> None:
    for attribute in node.attribute:
        held = _HELD.get(attribute.type)
        if held is not None and not attribute.ref_attr_name and not attribute.HasField(held):
            raise malformed(title, f"the attribute {attribute.name!r} of {node.name or node.op_type} is empty")
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return
    for attribute in node.attribute:
        wanted = _CONSTANTS.get(attribute.name)
        if wanted is not None and attribute.type != getattr(attribute.AttributeType, wanted, None):
            raise malformed(title, f"the constant {node.name or node.output[:1]} holds no {wanted.lower()}")


def check_reads(graph: Any, title: str) -> None:
    """Each value that a node reads, or the graph gives, must be made somewhere; functions are inlined already.

    Raises ModelFormatError.
    """
    made = {value.name for value in graph.input} | set(initializer_names(graph))
    made.update(name for node in graph.node for name in node.output)
    for node in graph.node:
        unknown = next((name for name in reads(node) if name and name not in made), None)
        if unknown is not None:
            raise malformed(title, f"{node.name or node.op_type} reads {unknown!r}, which nothing makes")
    for value in graph.output:
        if value.name not in made:
            raise malformed(title, f"the output {value.name!r}, which nothing makes")


def _check_unfolding(model: Any, title: str) -> None:
    """Functions that call functions may double their nodes at each level: count before they are inlined."""
    functions = {_key(function, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, ...], int] = {}
    for key in functions:
        _measure(key, functions, sizes, set(), title)
    if _total(model.graph.node, sizes) > _MOST_INLINED:
        raise malformed(title, f"functions that unfold to more than {_MOST_INLINED:,} nodes")


def _measure(
    key: tuple[str, ...],
    functions: Mapping[tuple[str, ...], Any],
    sizes: dict[tuple[str, ...], int],
    open_: set[tuple[str, ...]],
    title: str,
) -> None:
    if key in sizes:
        return
    if key in open_:
        raise malformed(title, f"the function {key[1]!r} calls itself")
    for node in _every_node(functions[key]):
        called = _key(node, node.op_type)
        if called in functions:
            _measure(called, functions, sizes, open_ | {key}, title)
    sizes[key] = _total(functions[key], sizes)


def _total(nodes: Any, sizes: Mapping[tuple[str, ...], int]) -> int:
    return sum(sizes.get(_key(node, node.op_type), 1) for node in _every_node(nodes))


def _key(proto: Any, name: str) -> tuple[str, ...]:
    return proto.domain, name, getattr(proto, "overload", "")


def malformed(title: str, found: str) -> ModelFormatError:
    """What to raise for a model that contradicts ONNX itself."""
    return ModelFormatError(f"{title} is no valid ONNX model", found=found, hint=REEXPORT)
