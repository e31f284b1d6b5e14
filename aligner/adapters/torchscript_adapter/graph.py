"""An inlined TorchScript graph as nodes, values and weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from aligner.adapters.aten_names import is_inplace
from aligner.adapters.torchscript_adapter.operands import Draft, Ref, is_tensor, leaves
from aligner.adapters.torchscript_adapter.reader import Reader
from aligner.adapters.torchscript_adapter.scopes import complete_scopes
from aligner.adapters.torchscript_adapter.taps import every_node
from aligner.adapters.torchscript_adapter.weights import WeightTable
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node, Shape, Value

Seen = Mapping[str, tuple[Shape, str]]
"""Value id → shape and dtype in a run."""


@dataclass(frozen=True, slots=True)
class ScriptGraph:
    """The graph, and what a run has to know about it.

    ``taps`` are the values that nodes compute, ``unasked`` those yielded only on request (constants), ``repeated``
    those inside loops. ``overwritten`` are those whose memory others share and that are written later: an injection
    has to go into that memory. ``still`` are those whose memory nobody writes to. ``result`` is what forward returns:
    ids where they are known without running.
    """

    graph: Graph
    taps: tuple[str, ...]
    unasked: frozenset[str]
    repeated: frozenset[str]
    overwritten: frozenset[str]
    still: frozenset[str]
    result: Ref
    random: bool


def read_graph(jit_graph: Any, module: Any) -> ScriptGraph:
    """Read ``module.inlined_graph``; ``module`` is the C++ module, None for a function."""
    reader = Reader(jit_graph, module)
    reader.read()
    names = reader.names
    drafts = [draft for draft in reader.drafts if draft.outputs]
    complete_scopes(drafts, [reader.weights.owner(draft.inputs) for draft in drafts], module)
    computed = {name: None for draft in drafts for name in draft.outputs}
    values = {name: _value(reader, name) for name in (*reader.inputs, *computed)}
    graph = Graph(
        framework="torchscript",
        nodes=_nodes(drafts, reader.weights),
        values=values,
        weights=reader.weights.records,
        inputs=tuple(reader.inputs),
        outputs=tuple(name for name in leaves(reader.result) if name in values),
    )
    shared = {name for name in names.views - names.overwritten if names.written_later(name)}
    opaque = any(node.kind() in ("prim::CallMethod", "prim::fork") for node in every_node(jit_graph))
    return ScriptGraph(
        graph,
        taps=tuple(name for name in names.values if name in computed and name not in reader.numbers),
        unasked=frozenset(name for draft in drafts if draft.kind == "constant" for name in draft.outputs)
        - frozenset(leaves(reader.result)),
        repeated=frozenset(names.repeated),
        overwritten=frozenset(names.overwritten | shared),
        still=frozenset() if opaque else frozenset(name for name in computed if names.never_written(name)),
        result=reader.result,
        random=any(_is_random(node) for node in every_node(jit_graph)),
    )


def as_it_ran(graph: Graph, seen: Seen, passed: Mapping[str, str]) -> Graph:
    """The graph of one run: shapes and dtypes filled in, without what branches left out.

    ``passed`` names, for outputs of a branch, the value that it handed on: it becomes an identity of that one.
    """
    constants = {name for node in graph.nodes if node.kind == "constant" for name in node.outputs}
    absent = {name for node in graph.nodes for name in node.outputs} - set(seen) - (constants & set(graph.weights))
    nodes: list[Node] = []
    for node in graph.nodes:
        outputs = tuple(name for name in node.outputs if name not in absent)
        inputs = tuple(name for name in node.inputs if name not in absent)
        if node.op == "prim::If" and all(name in passed for name in outputs):
            for name in outputs:
                kept = replace(node, kind="identity", name=name, inputs=(passed[name],), outputs=(name,))
                nodes.append(replace(kept, index=len(nodes)))
        elif outputs:
            nodes.append(replace(node, index=len(nodes), name=outputs[0], inputs=inputs, outputs=outputs))
    values = {
        name: replace(value, shape=seen[name][0], dtype=seen[name][1]) if name in seen else value
        for name, value in graph.values.items()
        if name not in absent
    }
    used = {name for node in nodes for name in (*node.inputs, *node.outputs)}
    weights = {name: weight for name, weight in graph.weights.items() if name in used}
    return replace(graph, nodes=tuple(nodes), values=values, weights=weights, of_one_run=True)


def _nodes(drafts: Sequence[Draft], table: WeightTable) -> tuple[Node, ...]:
    nodes: list[Node] = []
    for draft in drafts:
        weights = tuple(name for name in draft.inputs if name in table.records)
        node = Node(
            index=len(nodes),
            name=draft.outputs[0],
            op=draft.op,
            kind=draft.kind,
            inputs=tuple(draft.inputs),
            outputs=tuple(draft.outputs),
            weights=weights,
            attributes=MappingProxyType(draft.attributes),
            scope=draft.scope,
            source=draft.source,
            overwrites=is_inplace(draft.op),
        )
        nodes.append(node)
    return tuple(nodes)


def _value(reader: Reader, name: str) -> Value:
    aliases = tuple(dict.fromkeys(reader.names.aliases.get(name, ())))
    value = reader.names.values.get(name)
    shape, dtype = _declared(value.type()) if value is not None else (None, None)
    return Value(name, name, shape, dtype, aliases=aliases)


def _declared(value_type: Any) -> tuple[Shape | None, str | None]:
    """Shape and dtype as far as the type says; a plain number is a rank-0 tensor."""
    number = {"IntType": "int64", "FloatType": "float64", "BoolType": "bool"}
    if value_type.kind() in number:
        return (), number[value_type.kind()]
    if not is_tensor(value_type):
        return None, None
    sizes, dtype = value_type.sizes(), value_type.dtype()
    return (
        None if sizes is None else tuple(size if isinstance(size, int) and size >= 0 else None for size in sizes),
        None if dtype is None else str(dtype).removeprefix("torch."),
    )


def _is_random(node: Any) -> bool:
    return node.kind().startswith("aten::") and bool(node.isNondeterministic())
