"""Faults as ports of decoders have them, each planted in the last of two layers, or in what all layers share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from transformers.integrations import sdpa_attention

from benchmarks.decoders.families import Flat

_LAYER = 1
_HEAD = 8
_HIDDEN = -3e38


@dataclass(frozen=True, slots=True)
class Truth:
    """The first wrong step, the layer (None: shared by all), and a word of the guilty node's name or scope."""

    step: int
    layer: int | None
    word: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """``families``: those that have what it spoils; empty: all."""

    plant: Callable[[Flat], None]
    truth: Truth
    families: frozenset[str] = frozenset()


def _layer(flat: Flat) -> Any:
    base = flat.model.base_model
    return (getattr(base, "layers", None) or base.h)[_LAYER]


def _attention(flat: Flat) -> Any:
    layer = _layer(flat)
    names = ("self_attn", "attention", "self_attention", "attn")
    return next(getattr(layer, name) for name in names if hasattr(layer, name))


def _norm(flat: Flat) -> Any:
    layer = _layer(flat)
    return getattr(layer, "input_layernorm", None) or layer.ln_1


def _rotary_base(flat: Flat) -> None:
    rotary = flat.model.base_model.rotary_emb
    rotary.inv_freq = rotary.inv_freq ** (1.05)


def _heads_repeated_in_turn(flat: Flat) -> None:
    """h0 h1 h0 h1 where it is h0 h0 h1 h1."""
    attention, homes = _attention(flat), [sys.modules[type(flat.model).__module__], sdpa_attention]
    forward = attention.forward

    def wrong(*given: Any, **named: Any) -> Any:
        with ExitStack() as stack:
            for home in homes:
                stack.enter_context(patch.object(home, "repeat_kv", lambda x, many: x.repeat(1, many, 1, 1)))
            stack.enter_context(patch.object(sdpa_attention, "use_gqa_in_sdpa", lambda *_: False))
            return forward(*given, **named)

    attention.forward = wrong


def _masked(flat: Flat, mask: Callable[[torch.Tensor], torch.Tensor]) -> None:
    def changed(_: Any, given: Any, named: dict[str, Any]) -> Any:
        return given, named | {"attention_mask": mask(named["attention_mask"])}

    _attention(flat).register_forward_pre_hook(changed, with_kwargs=True)


def _no_mask(flat: Flat) -> None:
    _masked(flat, lambda mask: mask * 0.0)


def _no_window(flat: Flat) -> None:
    """Causal, as far back as there is anything."""

    def causal(mask: torch.Tensor) -> torch.Tensor:
        many, whole = mask.shape[-2:]
        rows, columns = torch.arange(many)[:, None] + (whole - many), torch.arange(whole)[None]
        return torch.where(columns <= rows, 0.0, _HIDDEN)[None, None]

    _masked(flat, causal)


def _norm_plus_one(flat: Flat) -> None:
    _norm(flat).weight.data += 1


def _attention_scale(flat: Flat) -> None:
    _attention(flat).scaling *= 1.5


def _cache_one_off(flat: Flat) -> None:
    flat.rolled = _LAYER


def _positions_one_off(flat: Flat) -> None:
    flat.late = True


def _inner_cap_lost(flat: Flat) -> None:
    _attention(flat).attn_logit_softcapping = None


def _last_cap_lost(flat: Flat) -> None:
    flat.model.config.final_logit_softcapping = None


def _rotary_rows(flat: Flat) -> None:
    """The rows of the key's projection in the order of checkpoints whose rotary pairs lie side by side."""
    weight = _attention(flat).k_proj.weight
    wide = weight.data.view(-1, 2, _HEAD // 2, weight.shape[1])
    weight.data = wide.transpose(1, 2).reshape(weight.shape).clone()


def _router_turned(flat: Flat) -> None:
    gate = _layer(flat).mlp.gate
    gate.weight.data = gate.weight.data.roll(1, 0).clone()


def _fewer_experts(flat: Flat) -> None:
    _layer(flat).mlp.gate.top_k = 1


def _experts_exchanged(flat: Flat) -> None:
    experts = _layer(flat).mlp.experts
    experts.down_proj.data = experts.down_proj.data[[1, 0, 2, 3]].clone()


_GROUPED = frozenset("llama mistral qwen2 gemma2 phi3 mixtral olmo".split())
_SEPARATE = frozenset("llama mistral qwen2 gemma2 mixtral olmo".split())
_ROTARY = _GROUPED | {"falcon"}
FAULTS = {
    "rotary-base": Fault(_rotary_base, Truth(0, None, "rotary"), _ROTARY),
    "heads-repeated-in-turn": Fault(
        _heads_repeated_in_turn, Truth(0, _LAYER, "Tile|Expand|reshape|attention"), _GROUPED
    ),
    "no-mask": Fault(_no_mask, Truth(0, _LAYER, "Add|add|attention")),
    "no-window": Fault(_no_window, Truth(0, _LAYER, "Add|add|attention"), frozenset({"mistral"})),
    "norm-plus-one": Fault(_norm_plus_one, Truth(0, _LAYER, "norm|ln_1"), _ROTARY - {"olmo"} | {"gpt_neox", "gpt2"}),
    "attention-scale": Fault(_attention_scale, Truth(0, _LAYER, "Mul|mul"), _GROUPED | {"gpt_neox", "gpt2"}),
    "cache-one-off": Fault(_cache_one_off, Truth(1, _LAYER, "Concat|cat")),
    "positions-one-off": Fault(_positions_one_off, Truth(1, None), _ROTARY | {"gpt_neox"}),
    "inner-cap-lost": Fault(_inner_cap_lost, Truth(0, _LAYER, "tanh"), frozenset({"gemma2"})),
    "last-cap-lost": Fault(_last_cap_lost, Truth(0, None, "lm_head|linear|logits|mul"), frozenset({"gemma2"})),
    "rotary-rows": Fault(_rotary_rows, Truth(0, _LAYER, "k_proj"), _SEPARATE),
    "router-turned": Fault(_router_turned, Truth(0, _LAYER, "gate"), frozenset({"mixtral"})),
    "fewer-experts": Fault(_fewer_experts, Truth(0, _LAYER, "gate"), frozenset({"mixtral"})),
    "experts-exchanged": Fault(_experts_exchanged, Truth(0, _LAYER, "experts"), frozenset({"mixtral"})),
}
