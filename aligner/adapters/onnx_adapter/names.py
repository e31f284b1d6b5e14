"""Names inside an ONNX graph: what a node reads, what its subgraphs capture, and how to rename."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any

GRAPH = 5
GRAPHS = 10
"""AttributeProto.AttributeType of subgraphs."""


def subgraphs(node: Any) -> Iterator[tuple[str, Any]]:
    """(attribute name, GraphProto) of each subgraph."""
    for attribute in node.attribute:
        if attribute.type == GRAPH:
            yield attribute.name, attribute.g
        elif attribute.type == GRAPHS:
            for number, graph in enumerate(attribute.graphs):
                yield f"{attribute.name}.{number}", graph


def reads(node: Any) -> list[str]:
    """Names the node needs: its inputs, then what its subgraphs capture; "" stays in place."""
    return [*node.input, *captured(node)]


def captured(node: Any) -> list[str]:
    """Names of outer values that the node's subgraphs use, without its own inputs, each once."""
    inner = [graph for _, graph in subgraphs(node)] if node.attribute else None
    if not inner:
        return []
    names: dict[str, None] = {}
    for graph in inner:
        names |= dict.fromkeys(_free(graph))
    own = set(node.input)
    return [name for name in names if name not in own]


def _free(graph: Any) -> Iterator[str]:
    known = set(_own_names(graph))
    for node in graph.node:
        for name in reads(node):
            if name and name not in known:
                yield name
    for output in graph.output:
        if output.name not in known:
            yield output.name


def _own_names(graph: Any) -> Iterator[str]:
    for value in graph.input:
        yield value.name
    yield from initializer_names(graph)
    for node in graph.node:
        yield from (name for name in node.output if name)


def initializer_names(graph: Any) -> Iterator[str]:
    """Names of dense and sparse initializers."""
    for tensor in graph.initializer:
        yield tensor.name
    for sparse in graph.sparse_initializer:
        yield sparse.values.name


def defined_names(graph: Any) -> Iterator[str]:
    """Names defined in the graph and, recursively, in its subgraphs; may repeat."""
    yield from _own_names(graph)
    for node in graph.node:
        for _, inner in subgraphs(node):
            yield from defined_names(inner)


def rename_reads(node: Any, names: Mapping[str, str]) -> None:
    """Make a node, and what its subgraphs capture, read other names."""
    for position, name in enumerate(node.input):
        if name in names:
            node.input[position] = names[name]
    for _, graph in subgraphs(node):
        visible = {old: new for old, new in names.items() if old not in set(_own_names(graph))}
        if visible:
            for inner in graph.node:
                rename_reads(inner, visible)
            for output in graph.output:
                output.name = visible.get(output.name, output.name)


def rename_graph(graph: Any, names: Mapping[str, str]) -> None:
    """Rename what a graph defines, wherever it is defined or used inside it."""
    if not names:
        return
    for node in graph.node:
        rename_reads(node, names)
        for position, name in enumerate(node.output):
            node.output[position] = names.get(name, name)
    for item in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        item.name = names.get(item.name, item.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)


def fresh(name: str, taken: Container[str]) -> str:
    """The name, or the name with a number, that is not taken."""
    candidate, number = name, 1
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def op_word(node: Any) -> str:
    """ "Conv", or "com.microsoft::FusedConv" where the operator is not ONNX's own."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return f"{domain}::{node.op_type}" if domain else str(node.op_type)
