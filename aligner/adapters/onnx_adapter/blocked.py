"""Channels in blocks (NCHWc), as onnxruntime's optimiser at level "all" leaves them in a file; shown plain here.

A tensor N × C × H × W holds [N, C / b, H, W, b], C filled up to whole blocks of b. A filter [O, I, H, W] holds
[O / b, I / b, H, W, b of I, b of O], or, where it reads plain channels or one channel each, [O / b, I, H, W, b of O]
(onnxruntime, core/mlas/lib/reorder.cpp and core/optimizer/nchwc_transformer.cc).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from aligner.records.array import Array
from aligner.records.graph import Node, Shape, Weight

BLOCKED = "com.microsoft.nchwc"
"""Domain of kernels on channels in blocks."""


def blocked_values(nodes: Iterable[Any]) -> frozenset[str]:
    """Names of the values in blocks; ``nodes`` are NodeProtos in execution order."""
    found: set[str] = set()
    for node in nodes:
        if node.domain == BLOCKED and node.op_type == "ReorderOutput":
            continue
        if node.domain == BLOCKED or any(name in found for name in node.input):
            found.update(node.output)
    return frozenset(found)


@lru_cache(maxsize=1)
def block_size() -> int:
    """Channels of a block, which the processor decides: the runtime is asked what it fills four up to; 0: no blocks."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, 1, 1]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("ReorderInput", ["x"], ["y"], domain=BLOCKED)], "ask", ends[:1], ends[1:]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(BLOCKED, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        filled = int(session.run(None, {"x": np.zeros((1, 4, 1, 1), np.float32)})[0].shape[1])
    except Exception:  # noqa: BLE001 - a build may lack the kernel, and the errors have no class in common
        return 0
    return filled if filled > 4 else 0


def plain(array: Array) -> Array:
    """A tensor in blocks as N × C × H × W, the channels that fill up included."""
    count, channels, *size = array.shape
    apart = array.reshape(count, channels // block_size(), *size, block_size())
    made: Array = apart.transpose(0, 1, 4, 2, 3).reshape(array.shape)
    return made


def in_blocks(array: Array) -> Array:
    """The other way round."""
    count, channels, *size = array.shape
    apart = array.reshape(count, channels // block_size(), block_size(), *size)
    made: Array = apart.transpose(0, 1, 3, 4, 2).reshape(array.shape)
    return made


def known_filter(shape: Shape) -> bool:
    """Whether a filter of this shape is laid out as said above."""
    block = block_size()
    if not block or len(shape) != 4 or None in shape:
        return False
    outer, inner = (int(size or 0) for size in shape[:2])
    return outer % block == 0 and (0 < inner < block or inner % block == 0)


def plain_filter(node: Node, weights: Mapping[str, Weight]) -> tuple[str, Weight] | None:
    """(name, weight) of the filter that a convolution on blocks reads, as [O, I, H, W]."""
    if node.op != f"{BLOCKED}::Conv" or node.inputs[1] not in weights:
        return None
    stored = weights[node.inputs[1]]
    if not known_filter(stored.shape):
        return None
    return stored.name, replace(stored, load=lambda: _opened(stored.load()), place=lambda: ("nchwc", stored.place()))


def _opened(raw: Array) -> Array:
    block, (outer, inner, *size) = block_size(), raw.shape
    if inner < block:
        opened = raw.reshape(outer // block, inner, *size, block).transpose(0, 4, 1, 2, 3)
    else:
        apart = raw.reshape(outer // block, inner // block, *size, block, block)
        opened = apart.transpose(0, 5, 1, 4, 2, 3)
    found: Array = opened.reshape(raw.shape)
    found.flags.writeable = False
    return found
