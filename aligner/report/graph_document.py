"""The JSON of ``align inspect``, ``aligner.graph/1``: a model's dataflow as plain dictionaries.

A node's ``inputs``, ``outputs`` and ``weights`` are ids, unique in the graph ("" for an absent operand); every value
and weight is listed with its ``id`` and with the framework's own ``name``.
"""

from __future__ import annotations

from aligner.records.graph import Graph, InputSpec, Node, Signature, Value, Weight
from aligner.report.codec import Document, plain

FORMAT = "aligner.graph/1"


def to_document(graph: Graph, signature: Signature, path: str, runtime: str) -> Document:
    """The graph as JSON's own types; weights are listed, never loaded."""
    return {
        "format": FORMAT,
        "path": path,
        "framework": graph.framework,
        "runtime": runtime,
        "channels": graph.channels,
        "notes": list(graph.notes),
        "inputs": [_said(spec, "name", "shape", "dtype", "required", "quantization") for spec in signature.inputs],
        "outputs": [_value_document(graph, value) for value in graph.outputs],
        "weights": [_tensor_document(key, weight) for key, weight in graph.weights.items()],
        "nodes": [_node_document(graph, node) for node in graph.nodes],
    }


def _said(record: InputSpec | Value | Weight | Node, *names: str) -> Document:
    return {name: plain(getattr(record, name)) for name in names}


def _value_document(graph: Graph, key: str) -> Document:
    return _tensor_document(key, graph.values.get(key) or Value(id=key, name=key))


def _tensor_document(key: str, value: Value | Weight) -> Document:
    return {"id": key, **_said(value, "name", "index", "shape", "dtype", "quantization")}


def _node_document(graph: Graph, node: Node) -> Document:
    names = "index", "name", "op", "kind", "inputs", "outputs", "weights", "attributes", "scope", "source"
    return {**_said(node, *names), "values": [_value_document(graph, key) for key in node.outputs if key]}
