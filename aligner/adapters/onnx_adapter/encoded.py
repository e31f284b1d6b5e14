"""Values that hold a tensor in the runtime's own form, in which no element stands where the model has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aligner.adapters.onnx_adapter.blocked import blocked_values

_SCALED_AS_IT_RUNS = frozenset({"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"})
"""Operators that give integers whose scale another tensor holds."""
_PASSING = frozenset(
    {"Cast", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Slice", "Gather", "MaxPool"}
)


def encoded_values(nodes: Sequence[Any]) -> frozenset[str]:
    """Names of such values, channels filled up to blocks among them; ``nodes`` are NodeProtos in execution order."""
    integers: set[str] = set()
    for node in nodes:
        if node.op_type in _SCALED_AS_IT_RUNS or (node.op_type in _PASSING and integers.intersection(node.input[:1])):
            integers.update(node.output[:1])
    return blocked_values(nodes) | integers
