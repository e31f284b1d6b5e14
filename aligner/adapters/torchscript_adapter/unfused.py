"""PyTorch's fused transformer layers written out in the graph: what ``nn.TransformerEncoderLayer`` runs for inference.

As ATen has them in native/transformers/attention.cpp and transformer.cpp. A model's own answers still come from the
fused kernels.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import Any

from aligner.adapters.torchscript_adapter.taps import every_node

_LAYER, _ATTENTION = "aten::_transformer_encoder_layer_fwd", "aten::_native_multi_head_attention"
_MASKS = {0: "mask[None, None]", 1: "mask[:, None, None]", 2: "mask"}
"""By type of mask, laid on scores [batch, heads, length, length]: between positions, of padding, for every score."""
_TENSOR = "src|query|key|value|mask|.*_(weight|bias)(_[12])?"
_LAYERS_OWN = (
    "src embed_dim num_heads qkv_weight qkv_bias proj_weight proj_bias use_gelu norm_first eps norm_weight_1 "
    "norm_bias_1 norm_weight_2 norm_bias_2 ffn_weight_1 ffn_bias_1 ffn_weight_2 ffn_bias_2 mask mask_type"
).split()
_ATTENTIONS_OWN = (
    "query key value embed_dim num_heads qkv_weight qkv_bias proj_weight proj_bias mask need_weights "
    "average_attn_weights mask_type"
).split()
_TENSORS = frozenset(name for name in (*_LAYERS_OWN, *_ATTENTIONS_OWN) if re.fullmatch(_TENSOR, name))


def unfused(graph: Any) -> Any:
    """The graph, with such nodes replaced in it; those whose settings are computed stay."""
    for node in list(every_node(graph)):
        if node.kind() in (_LAYER, _ATTENTION):
            _replace(graph, node)
    return graph


def _replace(graph: Any, node: Any) -> None:
    own = _LAYERS_OWN if node.kind() == _LAYER else _ATTENTIONS_OWN
    given = dict(zip(own, node.inputs(), strict=True))
    settings = {name: _constant(value) for name, value in given.items()}
    absent = {name for name, value in given.items() if value.type().kind() == "NoneType"}
    mask = "" if "mask" in absent else _MASKS.get(settings["mask_type"])
    if mask is None or not isinstance(settings["embed_dim"], int) or not isinstance(settings["num_heads"], int):
        return
    lines = _layer(settings, mask) if node.kind() == _LAYER else _attention_alone(node, settings, mask)
    if lines is None:
        return
    tensors = [name for name in given if name in _TENSORS and name not in absent]
    body = "\n".join(f"    {line}" for line in lines)
    function = _compiled(f"def written({', '.join(f'{name}: Tensor' for name in tensors)}):\n{body}\n")
    block = node.owningBlock()
    place = next(place for place, other in enumerate(block.nodes()) if other is node)
    graph.setInsertPoint(node)
    results = graph.insertGraph(function, [given[name] for name in tensors])
    for made in itertools.takewhile(lambda other: other is not node, itertools.islice(block.nodes(), place, None)):
        made.copyMetadata(node)
    if node.kind() == _ATTENTION:
        results = list(results[0].node().inputs())
    for old, new in zip(node.outputs(), results, strict=True):
        name = old.debugName()
        old.replaceAllUsesWith(new)
        if not name.isdigit():  # else it has none of its own
            old.setDebugName(f"{name}.fused")
            new.setDebugName(name)
    node.destroy()


def _constant(value: Any) -> Any:
    return value.toIValue() if value.node().kind() == "prim::Constant" else None


def _layer(settings: dict[str, Any], mask: str) -> list[str] | None:
    if any(settings[name] is None for name in ("use_gelu", "norm_first", "eps")):
        return None
    first = "x = layer_norm(src, [{0}], norm_weight_1, norm_bias_1, {1})"
    second = "{2} = layer_norm({3}, [{0}], norm_weight_2, norm_bias_2, {1})"
    size, eps, apart = settings["embed_dim"], repr(settings["eps"]), settings["norm_first"]
    hidden = "gelu(hidden)" if settings["use_gelu"] else "relu(hidden)"
    lines = [first.format(size, eps)] if apart else ["x = src"]
    lines += [*_projected("x", "x", "x", settings), *_attended(settings, mask), "sum = src + attended"]
    if apart:
        lines.append(second.format(size, eps, "x", "sum"))
    else:
        lines.append(f"sum = layer_norm(sum, [{size}], norm_weight_1, norm_bias_1, {eps})")
        lines.append("x = sum")
    lines += ["hidden = linear(x, ffn_weight_1, ffn_bias_1)", f"hidden = {hidden}"]
    lines += ["result = sum + linear(hidden, ffn_weight_2, ffn_bias_2)"]
    if not apart:
        lines.append(second.format(size, eps, "result", "result"))
    return [*lines, "return result"]


def _attention_alone(node: Any, settings: dict[str, Any], mask: str) -> list[str] | None:
    lines = [*_projected("query", "key", "value", settings), *_attended(settings, mask)]
    return None if list(node.outputs())[1].uses() else [*lines, "return attended, attended"]


def _projected(query: str, key: str, value: str, settings: dict[str, Any]) -> list[str]:
    """One projection for all three where they are one tensor."""
    size = settings["embed_dim"]
    if query == key == value:
        return [f"qkv = linear({query}, qkv_weight, qkv_bias)", "q, k, v = qkv.chunk(3, -1)"]
    ends = {"q": (query, 0), "k": (key, size), "v": (value, 2 * size)}
    return [
        f"{name} = linear({given}, qkv_weight[{at}:{at + size}], qkv_bias[{at}:{at + size}])"
        for name, (given, at) in ends.items()
    ]


def _attended(settings: dict[str, Any], mask: str) -> list[str]:
    """From q, k and v, [batch, length, size] each, to ``attended``."""
    size, heads = settings["embed_dim"], settings["num_heads"]
    lines = [f"{name} = {name}.unflatten(-1, [{heads}, {size // heads}]).transpose(1, 2)" for name in "qkv"]
    kept = f", {mask}.to(torch.bool).logical_not()" if mask else ""
    lines.append(f"mixed = scaled_dot_product_attention(q, k, v{kept})")
    return [*lines, "attended = linear(mixed.transpose(1, 2).flatten(2), proj_weight, proj_bias)"]


@functools.lru_cache(maxsize=64)
def _compiled(source: str) -> Any:
    """The graph of a function, which keeps it alive."""
    import torch
    from torch import layer_norm, relu  # noqa: F401 - the names in the source
    from torch.nn.functional import gelu, linear, scaled_dot_product_attention  # noqa: F401

    return torch.jit.CompilationUnit(source).written.graph
