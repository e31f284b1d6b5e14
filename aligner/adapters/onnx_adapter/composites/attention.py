"""Attention as onnxruntime fuses it: with its projection, on sides apart, of heads that share keys."""

from __future__ import annotations

import numpy as np

from aligner.adapters.onnx_adapter.composites.given import Given
from aligner.adapters.onnx_adapter.composites.heads import Heads
from aligner.adapters.onnx_adapter.composites.rotation import Rotation, half_width, picked, rows_of
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.operations.operation import Unsupported


def attention(write: Writer, given: Given) -> tuple[str, ...]:
    """input, weights [in, 3 · hidden], bias, mask_index, past [2, batch, heads, length, width], attention_bias."""
    return _self_attention(write, given, given[0], given[1], given[2], mask=3, past=given[4], added=given[5])


def quantized_attention(write: Writer, given: Given) -> tuple[str, ...]:
    """input, weight, bias, input_scale, weight_scale, mask_index, input_zero_point, weight_zero_point, past."""
    column = 1 if given.shape(4) not in ((), (1,)) else None
    data = write("DequantizeLinear", given[0], given[3], given[6])
    kernel = write("DequantizeLinear", given[1], given[4], given[7], axis=column)
    return _self_attention(write, given, data, kernel, given[2], mask=5, past=given[8], added="")


def _self_attention(
    write: Writer, given: Given, data: str, kernel: str, bias: str, *, mask: int, past: str, added: str
) -> tuple[str, ...]:
    given.refuse("do_rotary", "past_present_share_buffer", operands=(6,) if kernel == given[1] else ())
    heads, sizes = Heads(write, given), given.numbers("qkv_hidden_sizes")
    columns = given.shape(1)[-1]
    if not sizes and columns is None:
        raise Unsupported("a kernel whose size is not known")
    sizes = sizes or [(columns or 0) // 3] * 3
    projected = write("MatMul", data, kernel)
    projected = write("Add", projected, bias) if bias else projected
    parts = write.several("Split", 3, projected, write.integers(sizes), axis=-1)
    query, key, value = (heads.apart(name) for name in parts)
    kept = ""
    if past:
        kept, before = (write("Gather", past, write.constant(np.asarray(place)), axis=0) for place in (0, 1))
        key, value = write("Concat", kept, key, axis=2), write("Concat", before, value, axis=2)
    result = heads.attended((query, key, value), kept, heads.mask(mask, key), added, sizes[0] // heads.count)
    if len(given.node.output) < 2 or not given.node.output[1]:
        return (result,)
    first = write.integers((0,))
    return result, write("Concat", write("Unsqueeze", key, first), write("Unsqueeze", value, first), axis=0)


def multi_head(write: Writer, given: Given) -> tuple[str, ...]:
    """query, key, value [batch, length, hidden], bias, key_padding_mask, attention_bias, past_key, past_value."""
    if not (given[1] and given[2]) or len(given.shape(0)) != 3:
        raise Unsupported("packed operands")
    ranks = [len(given.shape(place)) for place in (1, 2)]
    given.refuse(operands=(8, 9) if ranks == [3, 3] else (3, 6, 7, 8, 9))
    hidden = [given.shape(place)[-1] for place in range(3)]
    heads, sides = Heads(write, given), [given[place] for place in range(3)]
    if given[3]:
        if None in hidden:
            raise Unsupported("a bias for sizes that are not known")
        biases = write.several("Split", 3, given[3], write.integers(size or 0 for size in hidden), axis=-1)
        sides = [write("Add", side, bias) for side, bias in zip(sides, biases, strict=True)]
    if hidden[0] is None:
        raise Unsupported("heads whose width is not known")
    query, key, value = (
        heads.apart(side) if rank == 3 else side for side, rank in zip(sides, (3, *ranks), strict=True)
    )
    if given[6]:
        key, value = write("Concat", given[6], key, axis=2), write("Concat", given[7], value, axis=2)
    result = heads.attended((query, key, value), given[6], heads.mask(4, key), given[5], hidden[0] // heads.count)
    return result, key, value


def grouped(write: Writer, given: Given) -> tuple[str, ...]:
    """query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos_cache, sin_cache, position_ids,
    attention_bias; without key and value the query holds all three. Causal; keys are turned before they are kept.

    What lies behind the end of a sequence that is padded is not told apart: the causal mask hides it from all before.
    """
    given.refuse("softcap", "smooth_softmax", "qk_output", operands=(11, 12, 13, 14, 15))
    if given.number("local_window_size", -1) > 0:
        raise Unsupported("a window")
    heads, fewer = Heads(write, given), int(given.number("kv_num_heads", 0))
    hidden, packed = given.shape(0)[-1], not given[1]
    width = (hidden or 0) // (heads.count + 2 * fewer * packed or 1)
    if width < 1 or fewer < 1 or heads.count % fewer or len(given.shape(0)) != 3:
        raise Unsupported("heads whose width is not known")
    past = given[3] if given[3] and given.shape(3)[2] != 0 else ""
    if (past and _is_shared(given)) or ((past or given[9]) and given.shape(0)[0] != 1):
        raise Unsupported("a buffer for keys to come, or sequences that end at places of their own")
    sides = [given[place] for place in range(3)]
    if packed:
        sizes = [heads.count * width, fewer * width, fewer * width]
        sides = list(write.several("Split", 3, given[0], write.integers(sizes), axis=-1))
    query, key, value = (heads.apart(side, count) for side, count in zip(sides, (None, fewer, fewer), strict=True))
    if given.number("do_rotary", 0):
        query, key = _turned(write, given, past, (query, key), width)
    if past:
        key, value = write("Concat", given[3], key, axis=2), write("Concat", given[4], value, axis=2)
    shared = write.integers(np.repeat(np.arange(fewer), heads.count // fewer))
    repeated = key, value
    if fewer < heads.count:
        repeated = write("Gather", key, shared, axis=1), write("Gather", value, shared, axis=1)
    return heads.attended((query, *repeated), past, "", given[10], width, causal=True), key, value


def _turned(write: Writer, given: Given, past: str, sides: tuple[str, str], width: int) -> tuple[str, str]:
    """Queries and keys turned by their places, which count on from what was kept before."""
    start = write("Gather", write("Shape", past), write.constant(np.asarray(2))) if past else ""
    rows = rows_of(write, given[9], start or write.constant(np.asarray(0)), sides[0])
    rotation = Rotation(write, picked(write, given, 7, rows), 2 * half_width(given, 7), width)
    in_turn = bool(given.number("rotary_interleaved", 0))
    return rotation(sides[0], in_turn=in_turn), rotation(sides[1], in_turn=in_turn)


def _is_shared(given: Given) -> bool:
    """Whether keys are kept in a buffer as long as all that may come."""
    names = given.node.output
    made = given.types.get(names[1], ValueType()).shape if len(names) > 1 and names[1] else None
    return made is None or made[2] is None or made[2] == given.shape(3)[2]
