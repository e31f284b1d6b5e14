"""The JSON of ``align inspect``, ``aligner.graph/1``: a model's dataflow as plain dictionaries.

A node's ``inputs``, ``outputs`` and ``weights`` are ids, unique in the graph ("" for an absent operand); every value
and weight is listed with its ``id`` and with the framework's own ``name``.
"""

from __future__ import annotations

from typing import Any

from aligner.records.graph import Graph, InputSpec, Node, Quantization, Signature, Value, Weight
from aligner.report.codec import Document
from aligner.report.json_document import plain

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
        "inputs": [_input_document(spec) for spec in signature.inputs],
        "outputs": [_value_document(graph, value) for value in graph.outputs],
        "weights": [_tensor_document(key, weight) for key, weight in graph.weights.items()],
        "nodes": [_node_document(graph, node) for node in graph.nodes],
    }


def _quantization(quantization: Quantization | None) -> Any:
    if quantization is None:
        return None
    return {
        "scale": plain(quantization.scale),
        "zero_point": plain(quantization.zero_point),
        "axis": quantization.axis,
    }


def _input_document(spec: InputSpec) -> Document:
    return {
        "name": spec.name,
        "shape": plain(spec.shape),
        "dtype": spec.dtype,
        "required": spec.required,
        "quantization": _quantization(spec.quantization),
    }


def _value_document(graph: Graph, key: str) -> Document:
    return _tensor_document(key, graph.values.get(key) or Value(id=key, name=key))


def _tensor_document(key: str, value: Value | Weight) -> Document:
    return {
        "id": key,
        "name": value.name,
        "index": plain(value.index),
        "shape": plain(value.shape),
        "dtype": value.dtype,
        "quantization": _quantization(value.quantization),
    }


def _node_document(graph: Graph, node: Node) -> Document:
    return {
        "index": plain(node.index),
        "name": node.name,
        "op": node.op,
        "kind": node.kind,
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "weights": list(node.weights),
        "attributes": plain(node.attributes),
        "scope": node.scope,
        "source": node.source,
        "values": [_value_document(graph, key) for key in node.outputs if key],
    }
