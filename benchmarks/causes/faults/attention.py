"""Faults of attention: masks, heads, scale, positions."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.causes.faults.registry import Pair, fault
from benchmarks.causes.network import Size, Step

Function = Callable[[Tensor], Tensor]


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _turned(x: Tensor, base: float, interleaved: bool) -> Tensor:
    width = x.shape[-1]
    if interleaved:
        parts = torch.cat([x[..., ::2], x[..., 1::2]], -1)
        return _turned(parts, base, False).unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)
    angles = torch.arange(x.shape[-2])[:, None] * base ** (-torch.arange(0, width, 2) / width)[None]
    cos, sin = torch.cat([angles, angles], -1).cos(), torch.cat([angles, angles], -1).sin()
    return x * cos + torch.cat([-x[..., width // 2 :], x[..., : width // 2]], -1) * sin


def _attended(
    x: Tensor,
    qkv: nn.Module,
    out: nn.Module,
    *,
    heads: int = 4,
    fill: float | None = None,
    diagonal: int = 1,
    base: float | None = None,
    scale: bool = True,
    merged: bool = True,
    lower: bool = False,
    interleaved: bool = False,
    behind: bool = False,
) -> Tensor:
    query, key, value = (_heads(part, heads) for part in qkv(x).chunk(3, -1))
    if base is not None:
        query, key = _turned(query, base, interleaved), _turned(key, base, interleaved)
    scores = query @ key.transpose(-1, -2)
    if scale and not behind:
        scores = scores * query.shape[-1] ** -0.5
    if fill is not None:
        hidden = torch.full((x.shape[1], x.shape[1]), fill)
        scores = scores + (torch.tril(hidden, -diagonal) if lower else torch.triu(hidden, diagonal))
    weights = scores.softmax(-1)
    mixed = (weights * query.shape[-1] ** -0.5 if behind else weights) @ value
    mixed = mixed.transpose(1, 2) if merged else mixed
    result: Tensor = out(mixed.reshape(x.shape))
    return result


def _pair(size: Size, good: dict[str, object], bad: dict[str, object]) -> Pair:
    qkv, out = nn.Linear(size.channels, 3 * size.channels), nn.Linear(size.channels, size.channels)
    held = [{"qkv": copy.deepcopy(qkv), "out": copy.deepcopy(out)} for _ in range(2)]
    return Step(partial(_attended, **good), **held[0]), Step(partial(_attended, **bad), **held[1])


INF = float("-inf")


@fault("attention-mask", domain="tokens")
def mask_missing(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {"fill": draw.choice((INF, -1e4, -1e9))}, {})


@fault("attention-mask", domain="tokens")
def mask_added(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {}, {"fill": draw.choice((INF, -1e4))})


@fault("attention-mask", domain="tokens")
def mask_shifted(draw: random.Random, size: Size) -> Pair:
    fill = draw.choice((INF, -1e4, -1e9))
    return _pair(size, {"fill": fill}, {"fill": fill, "diagonal": 2})


@fault("attention-mask", domain="tokens")
def mask_turned(draw: random.Random, size: Size) -> Pair:
    fill = draw.choice((INF, -1e4))
    return _pair(size, {"fill": fill}, {"fill": fill, "lower": True})


@fault("attention-mask", "constant-changed", domain="tokens")
def mask_too_weak(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {"fill": -1e4}, {"fill": -1.0})


@fault("axis-split", domain="tokens")
def head_count(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {"heads": 4}, {"heads": 2})


@fault("attention-scale", "operation-missing", "constant-changed", domain="tokens")
def scale_missing(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {}, {"scale": False})


@fault("operation-order", domain="tokens")
def scale_behind_the_softmax(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {}, {"behind": True})


@fault("layout-transposition", "operation-missing", "flatten-order", domain="tokens")
def heads_not_merged(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {}, {"merged": False})


@fault("constant-changed", domain="tokens")
def rotary_base(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {"base": 1e4, "heads": 2}, {"base": 5e5, "heads": 2})


@fault("layout-transposition", "slice-bounds", "operation-missing", "operation-extra", domain="tokens")
def rotary_pairs(draw: random.Random, size: Size) -> Pair:
    return _pair(size, {"base": 1e4, "heads": 2}, {"base": 1e4, "heads": 2, "interleaved": True})


@fault("layout-transposition", "operation-changed", "axis-split", "setting-changed", domain="tokens")
def shared_heads_in_another_order(draw: random.Random, size: Size) -> Pair:
    def of(repeated: Function) -> Step:
        def shared(x: Tensor) -> Tensor:
            query, key = _heads(x, 4), repeated(_heads(x, 4)[:, :2])
            return (query @ key.transpose(-1, -2)).softmax(-1)

        return Step(shared)

    return of(lambda key: key.repeat_interleave(2, 1)), of(lambda key: key.repeat(1, 2, 1, 1))


@fault("constant-changed", "slice-bounds", domain="tokens")
def positions_shifted(draw: random.Random, size: Size) -> Pair:
    table = torch.randn((size.length + 2, size.channels), generator=torch.Generator().manual_seed(draw.randrange(99)))

    def of(first: int) -> Step:
        return Step(lambda x, table: x + table[first : first + x.shape[1]], table=table)

    return of(0), of(2)
