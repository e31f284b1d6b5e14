"""Layers that TensorFlow writes out as arithmetic on their parameters, each as the one node that it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from typing import Any

from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.adapters.tensorflow_adapter.scopes import Scopes
from aligner.records.dataclass import dataclass
from aligner.records.graph import Attribute


@dataclass(frozen=True)
class Composite:
    """Operations that are one node: ``last`` gives its result, ``inside`` names all of them."""

    op: str
    kind: str
    operands: tuple[Any, ...]
    attributes: dict[str, Attribute]
    last: Any
    inside: frozenset[str]


@dataclass(frozen=True)
class Composites:
    """All of a program, by the names of their last operations."""

    by_last: dict[str, Composite] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)


def composites(flow: Dataflow) -> Composites:
    """The composites of a program; none shares an operation with another."""
    found = Composites()
    for one in (*_recurrent_layers(flow), *_norms(flow)):
        if found.inside.isdisjoint(one.inside):
            found.by_last[one.last.name] = one
            found.inside.update(one.inside)
    return found


def _norms(flow: Dataflow) -> Iterator[Composite]:
    kept = {op.name for op in flow.kept}
    for op in flow.kept:
        one = _norm(flow, op) if op.type in ("AddV2", "Add") else None
        if one is not None and one.inside <= kept and _closed(one, flow):
            yield one


def _norm(flow: Dataflow, op: Any) -> Composite | None:
    """x · m + (offset − mean · m), where m = scale / √(variance + ε), as tf.nn.batch_normalization writes it."""
    scaled, shift = (tensor.op for tensor in flow.operands(op))
    if scaled.type != "Mul" or shift.type not in ("Sub", "Mul"):
        return None
    x, factor = flow.operands(scaled)
    inside = [op, scaled, shift]
    offset, negated = None, None
    if shift.type == "Sub":
        offset, product = flow.operands(shift)
        inside.append(product.op)
        if product.op.type != "Mul":
            return None
        mean, again = flow.operands(product.op)
    else:
        negated, again = flow.operands(shift)
        if negated.op.type != "Neg":
            return None
        inside.append(negated.op)
        (mean,) = flow.operands(negated.op)
    root = _inverse_root(flow, factor)
    if root is None or again.name != factor.name:
        return None
    scale, variance, epsilon, more = root
    parameters = (scale, offset, mean, variance)
    stored = [one for one in parameters if one is not None]
    if any(one.op.type != "Const" or not one.shape.is_fully_defined() for one in stored):
        return None
    long = {place - one.shape.rank for one in stored for place, size in enumerate(one.shape.as_list()) if size != 1}
    if len(long) != 1 or x.shape.rank is None:
        return None
    names = frozenset(one.name for one in (*inside, *more))
    attributes: dict[str, Attribute] = {"epsilon": epsilon, "axis": x.shape.rank + long.pop()}
    return Composite("BatchNormalization", "norm", (x, *parameters), attributes, op, names)


def _inverse_root(flow: Dataflow, factor: Any) -> tuple[Any, Any, float, list[Any]] | None:
    """Scale or None, variance, ε and the operations of scale / √(variance + ε)."""
    inside, scale = [factor.op], None
    if factor.op.type == "Mul":
        factor, scale = flow.operands(factor.op)
        inside.append(factor.op)
    if factor.op.type != "Rsqrt":
        return None
    (total,) = flow.operands(factor.op)
    if total.op.type not in ("AddV2", "Add"):
        return None
    variance, epsilon = flow.operands(total.op)
    number = flow.constant(epsilon)
    if number is None or number.size != 1:
        return None
    return scale, variance, float(number.reshape(-1)[0]), [*inside, total.op]


def _closed(one: Composite, flow: Dataflow) -> bool:
    """Whether nobody outside reads what is inside, but for the result."""
    ends = {tensor.op.name for tensor in flow.outputs}
    inner = [op for op in flow.kept if op.name in one.inside and op.name != one.last.name]
    readers = {reader.name for op in inner for tensor in op.outputs for reader in tensor.consumers()}
    return readers & flow.needed <= one.inside and not any(op.name in ends for op in inner)


def _recurrent_layers(flow: Dataflow) -> Iterator[Composite]:
    layers = {path.replace("/", "."): layer for path, layer in flow.program.layers.items() if _cell(layer)}
    if not layers:
        return
    scopes = Scopes(flow.program, [op.name for op in flow.kept])
    groups: dict[tuple[str, str], list[Any]] = {}
    for op in flow.kept:
        path, call = scopes.call(op.name)
        whole = next((one for one in layers if path == one or path.startswith(f"{one}.")), None)
        if whole is not None:
            inner = path.count(".") - whole.count(".")
            groups.setdefault((whole, call.rsplit("/", inner)[0] if inner else call), []).append(op)
    for (path, _), ops in groups.items():
        one = _recurrent(flow, layers[path], ops)
        if one is not None and _closed(one, flow):
            yield one


def _cell(layer: dict[str, Any]) -> str | None:
    """ "lstm", "gru", "tanh" or "relu" for a layer of Keras that is told nothing else; None for others."""
    config = layer.get("config", {})
    usual = {"LSTM": ("tanh", "sigmoid"), "GRU": ("tanh", "sigmoid")}
    kind, told = layer.get("class_name", ""), (config.get("activation"), config.get("recurrent_activation"))
    if config.get("stateful") or config.get("unroll"):
        return None
    if kind in usual:
        return kind.lower() if told == usual[kind] else None
    return told[0] if kind == "SimpleRNN" and told[0] in ("tanh", "relu") else None


def _recurrent(flow: Dataflow, layer: dict[str, Any], ops: list[Any]) -> Composite | None:
    """All operations of one call of the layer, where they read one tensor and one of theirs is read elsewhere."""
    config, names = layer["config"], {op.name for op in ops}
    read = [tensor for op in ops for tensor in flow.operands(op) if tensor.op.name not in names]
    fed = {tensor.name: tensor for tensor in read if tensor.op.type != "Const"}
    variables = {
        flow.id_of(tensor).rsplit("/", 1)[-1]: tensor
        for tensor in read
        if tensor.op.type == "Const" and tensor.op.name in flow.program.variables
    }
    ends = {tensor.op.name for tensor in flow.outputs}
    leaving = [
        op
        for op in ops
        if op.name in ends
        or any(
            reader.name in flow.needed and reader.name not in names
            for tensor in op.outputs
            for reader in tensor.consumers()
        )
    ]
    if len(fed) != 1 or len(leaving) != 1 or not {"kernel", "recurrent_kernel"} <= variables.keys():
        return None
    if not any(op.type in ("While", "StatelessWhile") for op in ops):
        return None
    attributes: dict[str, Attribute] = {
        "cell": _cell(layer),
        "go_backwards": bool(config.get("go_backwards")),
        "reset_after": bool(config.get("reset_after")),
        "last": not config.get("return_sequences"),
        "units": int(config["units"]),
    }
    operands = (next(iter(fed.values())), variables["kernel"], variables["recurrent_kernel"], variables.get("bias"))
    return Composite("Recurrent", "recurrent", operands, attributes, leaving[0], frozenset(names))
