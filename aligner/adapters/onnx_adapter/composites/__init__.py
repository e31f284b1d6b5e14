"""Fused attention, embeddings and rotations put as the nodes of ONNX that they stand for, so that each can be seen.

What a model answers is still computed by the fused kernels (``predict``); where those compute otherwise, looking shows
what they should have, and the outputs tell. The definitions follow onnxruntime's ContribOperators.md and
contrib_ops/cpu/bert, and ONNX's Operators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from aligner.adapters.onnx_adapter.composites.attention import attention, grouped, multi_head, quantized_attention
from aligner.adapters.onnx_adapter.composites.embedding import embedding
from aligner.adapters.onnx_adapter.composites.given import Given
from aligner.adapters.onnx_adapter.composites.rotation import rotary, standard_rotary
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.adapters.onnx_adapter.names import defined_names, fresh, op_word
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.operations.operation import Unsupported

_OPSET = 14
"""The first one with Trilu; sizes of a Split and axes of an Unsqueeze are operands since 13."""
_FLOATS = (1, 10, 11, 16)
"""TensorProto's float32, float16, float64, bfloat16."""
ROUNDS = 64
"""How often nodes are replaced, as one's shapes may tell the next one's: a limit of work, as for branches."""


def with_composites_expanded(
    model: Any, types: Mapping[str, ValueType], inside: Collection[str] | None = None
) -> Any | None:
    """A copy of the model with such nodes replaced; None where there are none that can be.

    ``types`` are the values' as far as they are known. A node told something that is not known here stays as it is, and
    so does one that makes none of ``inside``, where these are given.
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
        if written is not None and inside is not None and not any(name in inside for name in _made(written)):
            written = None
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
    return op_word(node) in _EXPANSIONS


def _written(node: Any, position: int, opset: int, types: Mapping[str, ValueType], taken: set[str]) -> Writer | None:
    given = Given(node, types)
    if given.element not in _FLOATS:
        return None
    write = Writer(opset, given.element, set(taken), node.name or fresh(f"{node.op_type}_{position}", taken))
    try:
        results = _EXPANSIONS[op_word(node)](write, given)
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


def _made(written: Writer) -> Iterator[str]:
    """What is put into the graph, by name."""
    yield from (name for node in written.nodes for name in node.output)
    yield from (tensor.name for tensor in written.initializers)


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


_EXPANSIONS: Mapping[str, Callable[[Writer, Given], tuple[str, ...]]] = {
    "com.microsoft::Attention": attention,
    "com.microsoft::QAttention": quantized_attention,
    "com.microsoft::MultiHeadAttention": multi_head,
    "com.microsoft::GroupQueryAttention": grouped,
    "com.microsoft::RotaryEmbedding": rotary,
    "RotaryEmbedding": standard_rotary,
    "com.microsoft::EmbedLayerNormalization": embedding,
}
EXPANDED = frozenset(word.rpartition("::")[2] for word in _EXPANSIONS)
"""The words of what is replaced."""
