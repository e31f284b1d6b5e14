"""ModelProto → Graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from aligner.adapters.onnx_adapter.attributes import Operands, attributes_of
from aligner.adapters.onnx_adapter.blocked import plain_filter
from aligner.adapters.onnx_adapter.branches import Inlined
from aligner.adapters.onnx_adapter.constants import SmallConstants, weights_of
from aligner.adapters.onnx_adapter.file import OnnxFile
from aligner.adapters.onnx_adapter.kinds import kind_of
from aligner.adapters.onnx_adapter.names import captured, fresh, initializer_names, op_word, subgraphs
from aligner.adapters.onnx_adapter.packed import unpacked_weight
from aligner.adapters.onnx_adapter.provenance import scope_of, source_of
from aligner.adapters.onnx_adapter.quantization import quantizations
from aligner.adapters.onnx_adapter.types import ValueType, value_type
from aligner.errors import listing
from aligner.records.graph import Attribute, Graph, Node, Quantization, Shape, Value, Weight

_UNKNOWN = ValueType()


def build_graph(file: OnnxFile, inlined: Inlined, types: Mapping[str, ValueType]) -> Graph:
    """List every node in file order; nodes of subgraphs follow their owner.

    Values inside subgraphs are listed too, behind all others, but no run yields them.
    """
    proto = inlined.model.graph
    constants = set(initializer_names(proto))
    builder = _Builder(file, inlined, types)
    builder.add_graph(proto, {}, owner=None)
    inputs = tuple(value.name for value in proto.input if value.name not in constants and _is_tensor(types, value.name))
    outputs = tuple(dict.fromkeys(value.name for value in proto.output if _is_tensor(types, value.name)))
    meanings = quantizations(proto, SmallConstants(builder.weights, proto))
    names = dict.fromkeys((*inputs, *builder.produced, *(name for name in outputs if name in constants)))
    values = {name: _value(name, name, types, meanings.get(name)) for name in names if _is_tensor(types, name)}
    values |= {key: value for key, value in builder.inner.items() if key not in builder.weights}
    for name, meaning in meanings.items():
        if name in builder.weights:
            builder.weights[name] = replace(builder.weights[name], quantization=meaning)
    builder.weights |= dict(filter(None, (unpacked_weight(node, builder.weights) for node in builder.nodes)))
    builder.weights |= dict(filter(None, [plain_filter(node, builder.weights) for node in builder.nodes]))
    return Graph(
        framework="onnx",
        nodes=tuple(builder.nodes),
        values=MappingProxyType(values),
        weights=MappingProxyType(builder.weights),
        inputs=inputs,
        outputs=outputs,
        notes=(*inlined.notes, *_notes(builder, proto, types)),
    )


def _is_tensor(types: Mapping[str, ValueType], name: str) -> bool:
    return name not in types or types[name].tensor


def _value(key: str, name: str, types: Mapping[str, ValueType], meaning: Quantization | None = None) -> Value:
    kind = types.get(name, _UNKNOWN)
    return Value(key, name, kind.shape, kind.word, quantization=meaning)


def _declared(graph: Any) -> dict[str, ValueType]:
    return {value.name: value_type(value.type) for value in (*graph.input, *graph.value_info, *graph.output)}


def _notes(builder: _Builder, proto: Any, types: Mapping[str, ValueType]) -> list[str]:
    notes = []
    if builder.hidden:
        owners = listing(f"{name} ({count} nodes)" for name, count in builder.hidden.items())
        notes.append(f"values inside subgraphs are listed but cannot be observed: {owners}")
    others = [value.name for value in proto.output if not _is_tensor(types, value.name)]
    if others:
        notes.append(f"outputs that are no tensors are left out: {listing(others)}")
    return notes


@dataclass(slots=True)
class _Owner:
    name: str
    branch: str
    scope: str


class _Builder:
    def __init__(self, file: OnnxFile, inlined: Inlined, types: Mapping[str, ValueType]) -> None:
        self._file, self._inlined, self._types = file, inlined, types
        self._opsets = {
            ("" if entry.domain == "ai.onnx" else entry.domain): entry.version for entry in inlined.model.opset_import
        }
        self._taken: set[str] = set()
        self.nodes: list[Node] = []
        self.weights: dict[str, Weight] = {}
        self.produced: list[str] = []
        self.inner: dict[str, Value] = {}
        self.hidden: dict[str, int] = {}

    def add_graph(self, graph: Any, outer: Mapping[str, str], owner: _Owner | None) -> None:
        """List a graph's weights and nodes; ``outer`` maps the names visible around it to ids."""
        ids = dict(outer) | {name: self._id(name, owner) for name in _defined(graph)}
        weights = dict(weights_of(graph, self._file))
        self.weights |= {ids[name]: weight for name, weight in weights.items()}
        known = self._types if owner is None else _declared(graph)
        if owner is not None:
            self.inner |= {ids[name]: _value(ids[name], name, known) for name in _defined(graph)}
        operands = Operands(
            shape=lambda name: _shape(known, weights, name),
            constant=SmallConstants(weights, graph),
        )
        for node in graph.node:
            self._add_node(node, ids, owner, operands)

    def _id(self, name: str, owner: _Owner | None) -> str:
        if owner is not None and name in self._taken:
            name = fresh(f"{owner.name}/{name}", self._taken)
        self._taken.add(name)
        return name

    def _add_node(self, node: Any, ids: Mapping[str, str], owner: _Owner | None, operands: Operands) -> None:
        index = len(self.nodes)
        name = node.name or f"{node.op_type}_{index}"
        join = self._inlined.joins.get(node.output[0]) if owner is None and node.output else None
        inputs = tuple(ids.get(item, item) for item in (*node.input, *captured(node)))
        outputs = tuple(ids.get(item, item) for item in node.output)
        if join is not None:
            op, kind, attributes = "If", "identity", _join_attributes(join)
        else:
            op = op_word(node)
            opset = self._opsets.get("" if node.domain == "ai.onnx" else node.domain, 1)
            attributes = attributes_of(node, opset, operands)
            kind = kind_of(node.op_type, node.domain)
            kind = _clipped(attributes, computed_limit=any(node.input[2:])) if kind == "clip" else kind
        self.nodes.append(
            Node(
                index=index,
                name=join[0] if join else name,
                op=op,
                kind=kind,
                inputs=inputs,
                outputs=outputs,
                weights=tuple(dict.fromkeys(item for item in inputs if item in self.weights)),
                attributes=attributes,
                scope=self._scope(node, owner),
                source=source_of(node),
            )
        )
        if owner is None:
            self.produced.extend(item for item in outputs if item)
        if node.attribute:
            self._add_subgraphs(node, name, ids, owner)

    def _add_subgraphs(self, node: Any, name: str, ids: Mapping[str, str], owner: _Owner | None) -> None:
        before = len(self.nodes)
        for branch, graph in subgraphs(node):
            scope = f"{owner.scope}.{name}.{branch}" if owner else f"{name}.{branch}"
            self.add_graph(graph, ids, _Owner(name, branch, scope))
        if owner is None and len(self.nodes) > before:
            self.hidden[name] = len(self.nodes) - before

    def _scope(self, node: Any, owner: _Owner | None) -> str | None:
        own = scope_of(node)
        if own is not None:
            return own
        if owner is not None:
            return owner.scope
        scopes = self._inlined.scopes
        return next((scopes[name] for name in node.output if name in scopes), None) if scopes else None


def _defined(graph: Any) -> list[str]:
    names = [*(value.name for value in graph.input), *initializer_names(graph)]
    names.extend(name for node in graph.node for name in node.output if name)
    return list(dict.fromkeys(names))


def _shape(types: Mapping[str, ValueType], weights: Mapping[str, Weight], name: str) -> Shape | None:
    if name in weights:
        return weights[name].shape
    return types[name].shape if name in types else None


def _join_attributes(join: tuple[str, str]) -> Mapping[str, Attribute]:
    return MappingProxyType({"branch": join[1]})


def _clipped(attributes: Mapping[str, Attribute], *, computed_limit: bool) -> str:
    """The kind of a clip: between 0 and 6 it is relu6, from 0 upwards relu."""
    if attributes.get("min") == 0:
        high = attributes.get("max")
        if high == 6:
            return "relu6"
        if (high is None and not computed_limit) or (isinstance(high, float) and high >= 3.4e38):
            return "relu"
    return "clip"
