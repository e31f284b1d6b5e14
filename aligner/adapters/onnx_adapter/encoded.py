"""Values that hold a tensor in the runtime's own form, in which no element stands where the model has it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

BLOCKED = "com.microsoft.nchwc"
"""Domain of kernels on channels in blocks of eight or sixteen, as onnxruntime's own files have them."""
_SCALED_AS_IT_RUNS = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})
"""Operators that give integers whose scale another tensor holds."""
_PASSING = frozenset(
    {"Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather", "MaxPool"}
)


def encoded_values(nodes: Iterable[Any]) -> frozenset[str]:
    """Names of such values; ``nodes`` are NodeProtos in execution order."""
    blocked: set[str] = set()
    integers: set[str] = set()
    for node in nodes:
        if node.op_type in _SCALED_AS_IT_RUNS or (node.op_type in _PASSING and integers.intersection(node.input[:1])):
            integers.update(node.output[:1])
        if node.domain == BLOCKED and node.op_type == "ReorderOutput":
            continue
        if node.domain == BLOCKED or any(name in blocked for name in node.input):
            blocked.update(node.output)
    return frozenset(blocked | integers)
