"""Small decoders of transformers with random weights, and their export with caches as inputs and outputs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {"num_key_value_heads": 2}
_SLIDING = _GROUPED | {"sliding_window": 4}
_CAPPED = {"head_dim": 8, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 48}
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2, "experts_implementation": "batched_mm"}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", _GROUPED),
    "mistral": ("MistralConfig", "MistralForCausalLM", _SLIDING),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", _GROUPED),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", _SLIDING | _CAPPED),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", _GROUPED),
    "gpt_neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", {}),
    "falcon": ("FalconConfig", "FalconForCausalLM", {"multi_query": True}),
    "mixtral": ("MixtralConfig", "MixtralForCausalLM", _GROUPED | _EXPERTS),
    "olmo": ("OlmoConfig", "OlmoForCausalLM", _GROUPED),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", _GPT2),
}
"""Name → configuration, model, and what is set beside ``SIZES``."""


def made(family: str, attention: str = "eager") -> Any:
    """The model; norms and biases are random too, so that no fault in them is hidden by ones and zeros."""
    config, model, special = FAMILIES[family]
    torch.manual_seed(0)
    settings = SIZES | {"attn_implementation": attention} | special
    built = getattr(transformers, model)(getattr(transformers, config)(**settings)).eval()
    for parameter in built.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn_like(parameter)
        else:
            parameter.data *= 5
    return built


class Flat(nn.Module):
    """Token ids, positions and every cache as an argument of its own.

    ``rolled``: a layer whose cache is read one position off; ``late``: positions are one too many after a cache.
    """

    def __init__(self, model: Any):
        super().__init__()
        self.model, self.rolled, self.late = model, -1, False
        self.takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def forward(self, input_ids: Tensor, position_ids: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Scores, then each layer's key and value."""
        past = DynamicCache()
        for layer in range(len(caches) // 2):
            pair = caches[2 * layer : 2 * layer + 2]
            if layer == self.rolled:
                pair = tuple(torch.cat([part[:, :, 1:], part[:, :, :1]], 2) for part in pair)
            past.update(*pair, layer)
        if self.late:
            position_ids = position_ids + (torch._shape_as_tensor(caches[0])[2] > 0).long()
        more = {"position_ids": position_ids} if self.takes_positions else {}
        answer = self.model(input_ids=input_ids, past_key_values=past, use_cache=True, **more)
        kept = answer.past_key_values.layers
        return answer.logits, *(part for layer in kept for part in (layer.keys, layer.values))


def export(flat: Flat, path: Path, *, dynamo: bool) -> None:
    """An ONNX file with the names of Optimum: past_key_values.0.key → present.0.key."""
    config = flat.model.config
    heads = 1 if config.model_type == "falcon" else getattr(config, "num_key_value_heads", None)
    heads = heads or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    places = [f"{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")]
    ins, outs = ([f"{whole}.{place}" for place in places] for whole in ("past_key_values", "present"))
    tokens = torch.tensor([[7, 21]]), torch.arange(3, 5)[None]
    caches = [torch.randn(1, heads, 3, size) for _ in places]
    if dynamo:
        free = torch.export.Dim.DYNAMIC
        open_: dict[str, Any] = {"dynamic_shapes": ({1: free}, {1: free}, tuple({2: free} for _ in caches))}
    else:
        grown = {name: {0: "batch", 1: "seq"} for name in ("input_ids", "position_ids")}
        grown |= {name: {0: "batch", 2: "past"} for name in (*ins, *outs)}
        open_ = {"dynamic_axes": grown, "opset_version": 17}
    torch.onnx.export(
        flat,
        (*tokens, *caches),
        str(path),
        dynamo=dynamo,
        input_names=["input_ids", "position_ids", *ins],
        output_names=["logits", *outs],
        verbose=False,
        **open_,
    )
