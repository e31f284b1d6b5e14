"""onnxruntime's fused attention and embeddings put as the nodes of ONNX that they stand for, so that each can be seen.

What a model answers is still computed by the fused kernels (``predict``); where those compute otherwise, looking shows
what they should have, and the outputs tell. The definitions follow onnxruntime's ContribOperators.md and
contrib_ops/cpu/bert.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.adapters.onnx_adapter.names import defined_names, fresh
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.operations.operation import Unsupported
from aligner.records.dataclass import dataclass

_DOMAIN = "com.microsoft"
_OPSET = 14
"""The first one with Trilu; sizes of a Split and axes of an Unsqueeze are operands since 13."""
_FLOATS = (1, 10, 11, 16)
"""TensorProto's float32, float16, float64, bfloat16."""
_BOOL, _INT32, _INT64 = 9, 6, 7
_FILTER = -10000.0
"""Added to the score of what a mask leaves out: the default of ``mask_filter_value`` (ContribOperators.md)."""
ROUNDS = 64
"""How often nodes are replaced, as one's shapes may tell the next one's: a limit of work, as for branches."""


def with_composites_expanded(model: Any, types: Mapping[str, ValueType]) -> Any | None:
    """A copy of the model with such nodes replaced; None where there are none that can be.

    ``types`` are the values' as far as they are known. A node told something that is not known here stays as it is.
    """
    import onnx

    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
    if opset < _OPSET or not any(_is_composite(node) for node in model.graph.node):
        return None
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    taken, nodes, changed = set(defined_names(copy.graph)), list[Any](), False
    for position, node in enumerate(model.graph.node):
        written = _written(node, position, opset, types, taken) if _is_composite(node) else None
        nodes.extend([node] if written is None else written.nodes)
        if written is not None:
            copy.graph.initializer.extend(written.initializers)
            changed = True
    if not changed:
        return None
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    return copy


def _is_composite(node: Any) -> bool:
    return node.domain == _DOMAIN and node.op_type in _EXPANSIONS


def _written(node: Any, position: int, opset: int, types: Mapping[str, ValueType], taken: set[str]) -> Writer | None:
    given = _Given(node, types)
    if given.element not in _FLOATS:
        return None
    write = Writer(opset, given.element, set(taken), node.name or fresh(f"{node.op_type}_{position}", taken))
    try:
        results = _EXPANSIONS[node.op_type](write, given)
    except Unsupported:
        return None
    if any(name and not result for name, result in zip(node.output, _endless(results), strict=False)):
        return None
    for name, result in zip(node.output, results, strict=False):
        if name:
            write.nodes.append(_renamed(write, result, name))
    for made in write.nodes:
        taken.update(made.output)
        made.metadata_props.extend(node.metadata_props)
    taken.update(tensor.name for tensor in write.initializers)
    return write


def _endless(results: tuple[str, ...]) -> Iterator[str]:
    yield from results
    while True:
        yield ""


def _renamed(write: Writer, result: str, name: str) -> Any:
    """The node that makes a result, making it under another name; an Identity where others read it too."""
    from onnx import helper

    last = next((made for made in write.nodes if result in made.output), None)
    if last is None or any(result in made.input for made in write.nodes):
        return helper.make_node("Identity", [result], [name], name=f"{name}/Identity")
    write.nodes.remove(last)
    last.output[list(last.output).index(result)] = name
    return last


@dataclass(frozen=True)
class _Given:
    """A node's operands by place and its attributes by name."""

    node: Any
    types: Mapping[str, ValueType]

    def __getitem__(self, place: int) -> str:
        """The operand's name, "" where it is left out."""
        return str(self.node.input[place]) if place < len(self.node.input) else ""

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        from onnx import helper

        return {each.name: helper.get_attribute_value(each) for each in self.node.attribute}

    def number(self, name: str, default: float) -> float:
        return float(self._attributes.get(name, default))

    def numbers(self, name: str) -> list[int]:
        return [int(number) for number in self._attributes.get(name, ())]

    def refuse(self, *attributes: str, operands: tuple[int, ...] = ()) -> None:
        """Raise Unsupported where the node is told what is not written here."""
        if any(self._attributes.get(name) for name in attributes) or any(self[place] for place in operands):
            raise Unsupported(f"{self.node.op_type} as it stands here")

    @property
    def element(self) -> int:
        """The ONNX type that the first result is computed in."""
        return self.types.get(self.node.output[0], ValueType()).element if self.node.output else 0

    def shape(self, place: int) -> tuple[int | None, ...]:
        """Raises Unsupported where the rank is not known."""
        shape = self.types.get(self[place], ValueType()).shape
        if shape is None:
            raise Unsupported("operands of a rank that is not known")
        return shape


@dataclass(frozen=True)
class _Heads:
    """What happens between projected queries, keys and values [batch, length, heads · width] and the output."""

    write: Writer
    given: _Given

    @property
    def count(self) -> int:
        return int(self.given.number("num_heads", 0))

    def apart(self, name: str) -> str:
        """[batch, heads, length, width]."""
        if self.count < 1:
            raise Unsupported("heads that are not counted")
        shaped = self.write("Reshape", name, self.write.integers((0, 0, self.count, -1)))
        return self.write.transpose(shaped, (0, 2, 1, 3))

    def attended(self, sides: tuple[str, str, str], past: str, mask: str, bias: str, width: int) -> str:
        """Softmax of the scores times the values, heads side by side again; ``past``: keys kept before, "" for none."""
        write, (query, key, value) = self.write, sides
        scores = write("MatMul", query, write.transpose(key, (0, 1, 3, 2)))
        scale = self.given.number("scale", 0.0) or width**-0.5
        scores = write("Mul", scores, write.number(scale))
        for added in filter(None, (bias, mask)):
            scores = write("Add", scores, added)
        if self.given.number("unidirectional", 0):
            scores = self._causal(scores, past)
        mixed = write("MatMul", write("Softmax", scores, axis=-1), value)
        return write("Reshape", write.transpose(mixed, (0, 2, 1, 3)), write.integers((0, 0, -1)))

    def _causal(self, scores: str, past: str) -> str:
        """What comes later than a query filtered out; the first query stands behind what was kept before."""
        write = self.write
        ones = write("ConstantOfShape", write("Shape", scores), value=_one())
        offset = write("Gather", write("Shape", past), write.constant(np.asarray(2))) if past else ""
        seen = write("Cast", write("Trilu", ones, offset, upper=0), to=_BOOL)
        return write("Where", seen, scores, write.number(float(np.finfo(np.float32).min)))

    def mask(self, place: int, key: str) -> str:
        """0 or the filter's value, to be added to scores [batch, heads, length, all]; "" without a mask.

        A mask is 1 where something is kept, [batch, all] or [batch, length, all]; or says how much of each sequence is:
        where it ends [batch], and behind these where it begins [2 · batch].
        """
        if not self.given[place]:
            return ""
        shape, write = self.given.shape(place), self.write
        if len(shape) > 3:
            raise Unsupported("masks of rank 4")
        kept = write("Cast", self.given[place], to=_BOOL) if len(shape) > 1 else self._within(place, key)
        added = write("Where", kept, write.number(0.0), write.number(self.given.number("mask_filter_value", _FILTER)))
        return write("Unsqueeze", added, write.integers((1,) if len(shape) == 3 else (1, 2)))

    def _within(self, place: int, key: str) -> str:
        """[batch, all]: which positions of the keys lie within their sequence."""
        write, batch, count = self.write, self.given.shape(0)[0], self.given.shape(place)[0]
        if batch is None or count not in (batch, 2 * batch):
            raise Unsupported("lengths of another kind")
        length = write("Gather", write("Shape", key), write.constant(np.asarray(2)))
        positions = write("Range", write.constant(np.asarray(0)), length, write.constant(np.asarray(1)))
        ends = write("Unsqueeze", write("Cast", self.given[place], to=_INT64), write.integers((1,)))
        if count == batch:
            return write("Less", positions, ends)
        ends, starts = write.several("Split", 2, ends, write.integers((batch, batch)), axis=0)
        return write("And", write("Less", positions, ends), write("GreaterOrEqual", positions, starts))


def _one() -> Any:
    from onnx import helper

    return helper.make_tensor("value", _INT64, [1], [1])


def _attention(write: Writer, given: _Given) -> tuple[str, ...]:
    """input, weights [in, 3 · hidden], bias, mask_index, past [2, batch, heads, length, width], attention_bias."""
    return _self_attention(write, given, given[0], given[1], given[2], mask=3, past=given[4], added=given[5])


def _quantized_attention(write: Writer, given: _Given) -> tuple[str, ...]:
    """input, weight, bias, input_scale, weight_scale, mask_index, input_zero_point, weight_zero_point, past."""
    column = 1 if given.shape(4) not in ((), (1,)) else None
    data = write("DequantizeLinear", given[0], given[3], given[6])
    kernel = write("DequantizeLinear", given[1], given[4], given[7], axis=column)
    return _self_attention(write, given, data, kernel, given[2], mask=5, past=given[8], added="")


def _self_attention(
    write: Writer, given: _Given, data: str, kernel: str, bias: str, *, mask: int, past: str, added: str
) -> tuple[str, ...]:
    given.refuse("do_rotary", "past_present_share_buffer", operands=(6,) if kernel == given[1] else ())
    heads, sizes = _Heads(write, given), given.numbers("qkv_hidden_sizes")
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


def _multi_head(write: Writer, given: _Given) -> tuple[str, ...]:
    """query, key, value [batch, length, hidden], bias, key_padding_mask, attention_bias, past_key, past_value."""
    if not (given[1] and given[2]) or len(given.shape(0)) != 3:
        raise Unsupported("packed operands")
    ranks = [len(given.shape(place)) for place in (1, 2)]
    given.refuse(operands=(8, 9) if ranks == [3, 3] else (3, 6, 7, 8, 9))
    hidden = [given.shape(place)[-1] for place in range(3)]
    heads, sides = _Heads(write, given), [given[place] for place in range(3)]
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


def _embedding(write: Writer, given: _Given) -> tuple[str, ...]:
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


_EXPANSIONS: Mapping[str, Callable[[Writer, _Given], tuple[str, ...]]] = {
    "Attention": _attention,
    "QAttention": _quantized_attention,
    "MultiHeadAttention": _multi_head,
    "EmbedLayerNormalization": _embedding,
}
EXPANDED = _EXPANSIONS.keys()
"""The words of what is replaced."""
