"""Biases of quantised layers: the runtime adds their integers to sums of products, whatever steps they declare."""

from __future__ import annotations

from dataclasses import replace

from aligner.adapters.tflite_adapter.schema import NO_TENSOR, Subgraph
from aligner.records.graph import Quantization

BIASED = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Operators with a bias that counts in the product of two steps: places of data, weight, bias."""


def steps_of_biases(subgraph: Subgraph) -> dict[int, Quantization]:
    """Tensor index → the steps that a bias counts in; none for one that layers read in different steps."""
    found: dict[int, set[Quantization]] = {}
    for operator in subgraph.operators:
        places = BIASED.get(operator.op)
        if places is None or len(operator.inputs) <= places[2] or operator.inputs[places[2]] == NO_TENSOR:
            continue
        read, weight, bias = (subgraph.tensors[operator.inputs[place]] for place in places)
        if read.quantization is None or weight.quantization is None or bias.quantization is None:
            continue
        steps = tuple(read.quantization.scale[0] * step for step in weight.quantization.scale)
        if bias.dtype in {"int32", "int64"} and len(steps) in (1, *bias.shape):
            counted = replace(bias.quantization, scale=steps, axis=0 if len(steps) > 1 else None)
            found.setdefault(bias.index, set()).add(counted)
    return {index: each.pop() for index, each in found.items() if len(each) == 1}
