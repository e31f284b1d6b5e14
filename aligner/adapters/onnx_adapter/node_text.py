"""What has changed between two versions of a graph, node by node, for a reviewer to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NEUTRAL = frozenset({"kernel_shape"})
"""Attributes that say nothing beyond the operands."""
_FEW = 8
"""Elements of a constant that one line of a diff still shows."""


def snapshot(graph: Any) -> dict[str, bytes]:
    """Every node, as it is now."""
    return {_key(node): node.SerializeToString() for node in graph.node}


def changed_lines(before: Mapping[str, bytes], after: Mapping[str, bytes], graph: Any) -> list[str]:
    """ "- " and "+ " lines for nodes that are gone, changed or new."""
    from onnx import NodeProto

    shapes = {one.name: list(one.dims) for one in graph.initializer}
    values = {one.name: one for one in graph.initializer}
    lines: list[str] = []
    for key in before:
        if after.get(key) == before[key]:
            continue
        old = NodeProto.FromString(before[key])
        new = NodeProto.FromString(after[key]) if key in after else None
        if new is not None and old.op_type == new.op_type:
            lines += _differences(old, new, values)
            continue
        lines += [f"- {_line(old, shapes)}", *([f"+ {_line(new, shapes)}"] if new is not None else [])]
    new_ones = [NodeProto.FromString(content) for key, content in after.items() if key not in before]
    return lines + [f"+ {_line(node, shapes)}" for node in new_ones]


def _key(node: Any) -> str:
    return str(node.name or next(iter(node.output), ""))


def _line(node: Any, shapes: Mapping[str, Any]) -> str:
    given = ", ".join(f"{name} {shapes[name]}" if name in shapes else name for name in node.input)
    words = [f"{name} {value}" for name, value in _attributes(node).items() if name not in _NEUTRAL]
    return f"{node.op_type} {_key(node)}: {given} → {', '.join(node.output)}" + "".join(f"; {word}" for word in words)


def _differences(old: Any, new: Any, values: Mapping[str, Any]) -> list[str]:
    """Attributes and operands in which two versions of a node differ."""
    title = f"{new.op_type} {_key(new)}"
    mine, theirs = _attributes(old), _attributes(new)
    lines = []
    for name in dict.fromkeys((*mine, *theirs)):
        if mine.get(name) == theirs.get(name):
            continue
        if (name in mine) != (name in theirs) and _says_nothing(name, mine.get(name, theirs.get(name))):
            continue
        lines += [f"{sign} {title}: {name} {of[name]}" for sign, of in (("-", mine), ("+", theirs)) if name in of]
    for place in range(max(len(old.input), len(new.input))):
        pair = [list(one.input)[place] if place < len(one.input) else "" for one in (old, new)]
        if pair[0] != pair[1]:
            words = [_operand(name, values) for name in pair]
            lines += [f"{sign} {title}: operand {place} {word}" for sign, word in zip("-+", words, strict=True) if word]
    return lines


def _operand(name: str, values: Mapping[str, Any]) -> str:
    """Its name, and what a short constant holds."""
    tensor = values.get(name)
    if tensor is None:
        return name
    from onnx import numpy_helper

    array = numpy_helper.to_array(tensor)
    if array.size > _FEW:
        return f"{name} {list(tensor.dims)}"
    return f"{name} " + ", ".join(f"{value:.7g}" if array.dtype.kind == "f" else str(value) for value in array.flat)


def _says_nothing(name: str, value: Any) -> bool:
    """Whether an attribute that is written out is what its absence means: no padding, steps of one."""
    return name in _NEUTRAL or value in (0, 1) or (isinstance(value, list) and (set(value) <= {0} or set(value) <= {1}))


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    found = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, float):
            value = float(f"{value:.7g}")
        found[attribute.name] = list(value) if isinstance(value, (list, tuple)) else value
        if not isinstance(found[attribute.name], (int, float, str, list)):
            found[attribute.name] = "…"
    return found
