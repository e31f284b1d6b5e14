"""Embeddings that are looked up, added and normalised in one node."""

from __future__ import annotations

from aligner.adapters.onnx_adapter.composites.given import Given
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.operations.operation import Unsupported

_INT32 = 6
"""TensorProto's int32."""


def embedding(write: Writer, given: Given) -> tuple[str, ...]:
    """input_ids, segment_ids, three tables of which the segments' may be missing, gamma, beta, mask, position_ids."""
    ids, segments, words, places, table, gamma, beta, mask, position = (given[place] for place in range(9))
    if not position:
        length = write("Gather", write("Shape", ids), write.integers((1,)))
        rows = write("Slice", places, write.integers((0,)), length)
        found = write("Unsqueeze", rows, write.integers((0,)))
    else:
        found = write("Gather", places, position)
    total = write("Add", write("Gather", words, ids), found)
    if segments and table:
        total = write("Add", total, write("Gather", table, segments))
    normal = write("LayerNormalization", total, gamma, beta, axis=-1, epsilon=given.number("epsilon", 1e-12))
    wanted = [bool(name) for name in given.node.output[1:]]
    lengths = ""
    if any(wanted[:1]):
        if not mask or int(given.number("mask_index_type", 0)):
            raise Unsupported("lengths of another kind")
        lengths = write("ReduceSum", write("Cast", mask, to=_INT32), write.integers((1,)), keepdims=0)
    return normal, lengths, total
