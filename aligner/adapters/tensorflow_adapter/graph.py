"""A program as the framework-neutral graph."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from aligner.adapters.tensorflow_adapter.attributes import attributes_of, is_setting
from aligner.adapters.tensorflow_adapter.composite import Composite, composites
from aligner.adapters.tensorflow_adapter.dataflow import Dataflow, holds_numbers
from aligner.adapters.tensorflow_adapter.kinds import kind_of
from aligner.adapters.tensorflow_adapter.program import shown_name
from aligner.adapters.tensorflow_adapter.scopes import Scopes
from aligner.records.array import Array
from aligner.records.graph import Graph, InputSpec, Node, Shape, Signature, Value, Weight


def build_graph(flow: Dataflow) -> Graph:
    """The graph of what computes a program's outputs."""
    whole = composites(flow)
    scopes = Scopes(flow.program, [op.name for op in flow.kept])
    nodes: list[Node] = []
    for op in flow.kept:
        found = whole.by_last.get(op.name)
        if found is not None:
            nodes.append(_composite_node(flow, found, len(nodes), scopes))
        elif op.name not in whole.inside:
            nodes.append(_node(flow, op, len(nodes), scopes))
    named = {name for node in nodes for name in node.inputs}
    return Graph(
        framework="tensorflow",
        nodes=tuple(nodes),
        values=MappingProxyType(_values(flow, whole.inside - whole.by_last.keys(), scopes)),
        weights=MappingProxyType({name: one for name, one in _weights(flow).items() if name in named}),
        inputs=tuple(flow.fed),
        outputs=tuple(flow.id_of(tensor) for tensor in flow.outputs),
        channels=channels_of(flow),
        notes=flow.program.notes,
    )


def _node(flow: Dataflow, op: Any, index: int, scopes: Scopes) -> Node:
    operands = [
        tensor for place, tensor in enumerate(flow.operands(op)) if not is_setting(op, place) and holds_numbers(tensor)
    ]
    return Node(
        index=index,
        name=shown_name(op.name),
        op=op.type,
        kind=kind_of(op.type),
        inputs=tuple(flow.id_of(tensor) for tensor in operands),
        outputs=tuple(flow.id_of(tensor) for tensor in op.outputs if holds_numbers(tensor)),
        weights=tuple(dict.fromkeys(flow.id_of(tensor) for tensor in operands if tensor.op.type == "Const")),
        attributes=MappingProxyType(attributes_of(flow, op)),
        scope=scopes.of(op.name),
    )


def _composite_node(flow: Dataflow, found: Composite, index: int, scopes: Scopes) -> Node:
    return Node(
        index=index,
        name=shown_name(found.last.name),
        op=found.op,
        kind=found.kind,
        inputs=tuple("" if tensor is None else flow.id_of(tensor) for tensor in found.operands),
        outputs=(flow.id_of(found.last.outputs[0]),),
        weights=tuple(flow.id_of(one) for one in found.operands if one is not None and one.op.type == "Const"),
        attributes=MappingProxyType(found.attributes),
        scope=scopes.of(found.last.name),
    )


def _values(flow: Dataflow, hidden: set[str], scopes: Scopes) -> dict[str, Value]:
    names = dict(zip((flow.id_of(tensor) for tensor in flow.outputs), flow.program.output_names, strict=True))
    found = {}
    tensors = [*flow.fed.values(), *(tensor for tensor in flow.results() if tensor.op.name not in hidden)]
    for tensor in tensors:
        name = flow.id_of(tensor)
        aliases = [names.get(name, ""), *scopes.ends(tensor.op.name)]
        found[name] = Value(
            id=name,
            name=name,
            shape=shape_of(tensor),
            dtype=tensor.dtype.base_dtype.name,
            aliases=tuple(dict.fromkeys(alias for alias in aliases if alias and alias != name)),
        )
    return found


def _weights(flow: Dataflow) -> dict[str, Weight]:
    found = {}
    for op in flow.graph.get_operations():
        if op.type == "Const" and holds_numbers(op.outputs[0]):
            tensor = op.outputs[0]
            name = flow.id_of(tensor)
            shape = tuple(int(size) for size in tensor.shape)
            found[name] = Weight(name, shape, tensor.dtype.base_dtype.name, partial(_load, op))
    return found


def _load(op: Any) -> Array:
    import tensorflow as tf

    array = plain(tf.make_ndarray(op.get_attr("value")))
    array.flags.writeable = False
    return array


def plain(array: Array) -> Array:
    """As numpy's own type: bfloat16 and its like as float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" or array.dtype.name in _NARROW else array


_NARROW = frozenset({"bfloat16", "float8_e5m2", "float8_e4m3fn"})


def shape_of(tensor: Any) -> Shape | None:
    """The shape as far as TensorFlow infers it."""
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def channels_of(flow: Dataflow) -> Literal["first", "last"]:
    """Where the convolutions have theirs, as far as they say: last is TensorFlow's default."""
    for op in flow.kept:
        if "data_format" in op.node_def.attr:
            return "first" if op.get_attr("data_format").startswith(b"NC") else "last"
    return "last"


def signature_of(flow: Dataflow) -> Signature:
    """What is fed under which name, and the outputs."""
    specs = (InputSpec(name, shape_of(tensor), tensor.dtype.base_dtype.name) for name, tensor in flow.fed.items())
    return Signature(inputs=tuple(specs), outputs=tuple(flow.id_of(tensor) for tensor in flow.outputs))
