"""Which values of a file stand for a guilty node, and which stand beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from benchmarks.faults.onnx_model import PASSING, Node, OnnxModel

FUSED_ATTENTION = "fused attention"
"""The class by which modules are known whose attention is one operation in torch."""
_SINGLE = frozenset(
    """Linear LayerNorm GroupNorm InstanceNorm2d BatchNorm2d GELU GELUActivation SiLU Softplus Hardswish Hardsigmoid
    Embedding Conv1d Conv2d ConvTranspose2d PReLU Mish""".split()
)
"""Modules that are one operation in torch and may be several in a file."""


def module_path(node: Node) -> str | None:
    """The module a node was exported from, by the exporter's metadata or the older exporter's node names."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [scope for scope in re.findall(r"'([^']*)'", entry.value)[:-1] if scope]
            return scopes[-1] if scopes else None
    if not node.name.startswith("/"):
        return None
    path: list[str] = []
    for part in node.name[1:].split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path) or None


def region(model: OnnxModel, nodes: Iterable[Node], modules: Mapping[str, str], *, extend: bool) -> tuple[str, ...]:
    """The outputs of the guilty nodes, and the ends under which the same operation may be known.

    The same tensor cast or quantised counts; with ``extend``, so does the end of what is one operation on the other
    side: a module (``modules``: path → class), an operation that the exporter spelled out in several nodes, a norm that
    may be folded into the guilty convolution.
    """
    names: dict[str, None] = {}
    for node in _until_computed(model, nodes):
        names.update(dict.fromkeys(node.output))
        if extend:
            names.update(dict.fromkeys(_operation_ends(model, node, modules)))
        while True:
            follower = model.sole_consumer(node.output[0])
            if follower is None or not _same(model, node, follower, modules, extend):
                break
            names.update(dict.fromkeys(follower.output))
            node = follower
    return tuple(names)


def _until_computed(model: OnnxModel, nodes: Iterable[Node]) -> list[Node]:
    """A guilty node that does not depend on the inputs shows where it meets what does."""
    found = list(nodes)
    for node in found:
        if not any(model.computed(name) for name in node.output):
            found += [reader for reader in model.readers(node.output[0]) if reader not in found]
    return found


def _same(model: OnnxModel, node: Node, follower: Node, modules: Mapping[str, str], extend: bool) -> bool:
    if follower.op_type in PASSING:
        return True
    if not extend:
        return False
    if node.op_type in {"Conv", "ConvTranspose", "Gemm"} and follower.op_type == "BatchNormalization":
        return True
    if node.op_type == "Sqrt" and follower.op_type in {"Div", "Reciprocal"}:  # the reciprocal square root
        return follower.op_type == "Reciprocal" or model.constant(follower.input[0]) is not None
    path = module_path(node)
    return path is not None and path == module_path(follower) and modules.get(path) in _SINGLE


def _operation_ends(model: OnnxModel, node: Node, modules: Mapping[str, str]) -> list[str]:
    """The outputs of the torch operation that a node is a part of."""
    operation = _operation(node)
    if operation:
        group = [each for each in model.nodes if _operation(each) == operation]
        inside = {name for each in group for name in each.input}
        return [name for each in group for name in each.output if name not in inside] if len(group) > 1 else []
    path = module_path(node)
    if path is not None and modules.get(path) == FUSED_ATTENTION:
        return _attention_ends(model, node, path)
    return _roll_ends(model, node)


def _operation(node: Node) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "")


def _attention_ends(model: OnnxModel, node: Node, path: str) -> list[str]:
    """Where attention that is one operation in torch ends: the product after its softmax."""
    rest, seen, ends = [(node, node.op_type == "Softmax")], set(), []
    while rest:
        each, after = rest.pop()
        for reader in model.consumers(each.output[0]):
            if module_path(reader) != path or reader.output[0] in seen:
                continue
            seen.add(reader.output[0])
            if reader.op_type == "MatMul" and after:
                ends.append(reader.output[0])
            else:
                rest.append((reader, after or reader.op_type == "Softmax"))
    return ends


def _roll_ends(model: OnnxModel, node: Node) -> list[str]:
    """A roll over two axes is two rounds of slices and a concatenation."""
    readers = model.consumers(node.output[0]) if node.op_type == "Concat" else []
    joins = [model.sole_consumer(reader.output[0]) for reader in readers if reader.op_type == "Slice"]
    same = len(readers) > 1 and len(joins) == len(readers)
    together = {join.output[0] for join in joins if join is not None and join.op_type == "Concat"}
    return list(together) if same and len(together) == 1 else []


def neighbours(model: OnnxModel, names: Iterable[str]) -> tuple[str, ...]:
    """The values one node before and after; the same tensor in other clothes is no step."""
    given = tuple(names)
    found: dict[str, None] = {}
    for name in given:
        node = model.producer(name)
        for source in node.input if node is not None else ():
            found.update(dict.fromkeys(_upwards(model, source)))
        for reader in model.consumers(name):
            for output in reader.output:
                found.update(dict.fromkeys(_downwards(model, output)))
    return tuple(name for name in found if name and name not in given)


def _upwards(model: OnnxModel, name: str) -> list[str]:
    names = [name]
    node = model.producer(name)
    while node is not None and node.op_type in PASSING:
        names.append(node.input[0])
        node = model.producer(node.input[0])
    return names


def _downwards(model: OnnxModel, name: str) -> list[str]:
    names = [name]
    node = model.sole_consumer(name)
    while node is not None and node.op_type in PASSING:
        names.append(node.output[0])
        node = model.sole_consumer(node.output[0])
    return names
