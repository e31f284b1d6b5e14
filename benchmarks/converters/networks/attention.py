"""Transformers: encoders with masks, decoders with rotary positions and grouped heads, patches of an image."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import Builder


def transformer(rng: np.random.Generator) -> Graph:
    """Embedded tokens, learnt positions, norms before or after, GELU or ReLU; causal or padded."""
    heads, size, steps = _sizes(rng)
    batch, words, width = int(rng.integers(1, 3)), 40, heads * size
    feeds = {"ids": rng.integers(0, words, (batch, steps)).astype(np.int64)}
    padded = rng.random() < 0.4
    if padded:
        mask = np.ones((batch, steps), np.int64)
        mask[-1, -2:] = 0
        feeds["attention_mask"] = mask
    build = Builder(rng, feeds)
    x = build.op("Gather", build.keep(build.normal(words, width), "embedding"), "ids", axis=0)
    x = build.op("Add", x, build.keep(build.normal(steps, width, scale=0.5), "position"))
    bias = _padding(build, batch, steps) if padded else _causal(build, steps) if build.chance(0.7) else None
    before, act = build.chance(0.6), build.pick("gelu", "gelu_tanh", "relu", "silu")
    if not before:
        x = build.layer_norm(x, width)
    for _ in range(int(rng.integers(1, 4))):
        y = _attention(build, build.layer_norm(x, width) if before else x, (batch, steps, heads, size), bias)
        x = build.op("Add", x, y)
        x = x if before else build.layer_norm(x, width)
        y = build.layer_norm(x, width) if before else x
        y = build.linear(build.activation(build.linear(y, (width, 2 * width)), act), (2 * width, width))
        x = build.op("Add", x, y)
        x = x if before else build.layer_norm(x, width)
    x = build.layer_norm(x, width) if before else x
    return build.finish(build.linear(x, (width, words), bias=build.chance(0.5)))


def llama(rng: np.random.Generator) -> Graph:
    """RMS norms, rotary positions, grouped heads, a gated MLP."""
    heads, size, steps = _sizes(rng)
    size += size % 2
    words, width = 40, heads * size
    build = Builder(rng, {"ids": rng.integers(0, words, (1, steps)).astype(np.int64)})
    shared = build.pick(1, heads, max(heads // 2, 1))
    angles = np.outer(np.arange(steps), 10000.0 ** (-np.arange(0, size, 2) / size))
    angles = np.concatenate([angles, angles], -1)
    turns = build.keep(np.cos(angles)[None, None], "cos"), build.keep(np.sin(angles)[None, None], "sin")
    x = build.op("Gather", build.keep(build.normal(words, width), "embedding"), "ids", axis=0)
    bias = _causal(build, steps)
    for _ in range(int(rng.integers(1, 4))):
        y = build.rms_norm(x, width)
        q = _heads(build, build.linear(y, (width, width), bias=False), (1, steps, heads, size))
        k = _heads(build, build.linear(y, (width, shared * size), bias=False), (1, steps, shared, size))
        v = _heads(build, build.linear(y, (width, shared * size), bias=False), (1, steps, shared, size))
        q, k = _rotary(build, q, size, turns), _rotary(build, k, size, turns)
        if shared < heads:
            k, v = (_repeat(build, each, (heads, shared, steps, size)) for each in (k, v))
        y = _scores(build, q, k, v, size, bias)
        y = build.reshape(build.transpose(y, 0, 2, 1, 3), 1, steps, width)
        x = build.op("Add", x, build.linear(y, (width, width), bias=False))
        y = build.rms_norm(x, width)
        gate = build.activation(build.linear(y, (width, 2 * width), bias=False), "silu")
        y = build.op("Mul", gate, build.linear(y, (width, 2 * width), bias=False))
        x = build.op("Add", x, build.linear(y, (2 * width, width), bias=False))
    return build.finish(build.linear(build.rms_norm(x, width), (width, words), bias=False))


def vit(rng: np.random.Generator) -> Graph:
    """Patches by a convolution, a class token, the head on the first token."""
    heads, size, _ = _sizes(rng)
    width = heads * size
    side = int(rng.integers(2, 4))
    build = Builder(rng, {"image": rng.standard_normal((1, 3, 4 * side, 4 * side)).astype(np.float32)})
    x = build.conv("image", (3, width), kernel=4, stride=4, pads=[0, 0, 0, 0])
    x = build.transpose(build.reshape(x, 1, width, side * side), 0, 2, 1)
    x = build.op("Concat", build.keep(build.normal(1, 1, width), "class_token"), x, axis=1)
    steps = side * side + 1
    x = build.op("Add", x, build.keep(build.normal(1, steps, width, scale=0.5), "position"))
    for _ in range(int(rng.integers(1, 4))):
        y = _attention(build, build.layer_norm(x, width), (1, steps, heads, size), None)
        x = build.op("Add", y, x)
        y = build.linear(build.gelu(build.linear(build.layer_norm(x, width), (width, 2 * width))), (2 * width, width))
        x = build.op("Add", y, x)
    x = build.layer_norm(x, width)
    first = build.op("Gather", x, build.keep(np.array(0, np.int64)), axis=1) if build.chance(0.5) else None
    if first is None:
        first = build.reshape(build.slice(x, 1, 0, 1), 1, width)
    return build.finish(build.linear(first, (width, 10), gemm=True))


def _sizes(rng: np.random.Generator) -> tuple[int, int, int]:
    """Heads, size of a head, steps; now and then all the same, where no axis can be told by its size."""
    if rng.random() < 0.2:
        return (4, 4, 4)
    return int(rng.choice([2, 4])), int(rng.choice([4, 6, 8])), int(rng.integers(4, 9))


def _attention(build: Builder, x: str, sizes: tuple[int, int, int, int], bias: str | None) -> str:
    batch, steps, heads, size = sizes
    width = heads * size
    if build.chance(0.4):
        joined = build.linear(x, (width, 3 * width))
        parts = build.keep(np.array([width] * 3, np.int64), "split")
        q, k, v = build.graph.add_all("Split", joined, parts, count=3, axis=-1)
    else:
        q, k, v = (build.linear(x, (width, width)) for _ in range(3))
    q, k, v = (_heads(build, each, sizes) for each in (q, k, v))
    y = _scores(build, q, k, v, size, bias)
    y = build.reshape(build.transpose(y, 0, 2, 1, 3), batch, steps, width)
    return build.linear(y, (width, width))


def _heads(build: Builder, x: str, sizes: tuple[int, int, int, int]) -> str:
    batch, steps, heads, size = sizes
    return build.transpose(build.reshape(x, batch, steps, heads, size), 0, 2, 1, 3)


def _scores(build: Builder, q: str, k: str, v: str, size: int, bias: str | None) -> str:
    style = build.pick("after", "query", "both")
    keys = build.transpose(k, 0, 1, 3, 2)
    if style == "query":
        q = build.scalar("Mul", q, size**-0.5)
    if style == "both":
        q, keys = build.scalar("Mul", q, size**-0.25), build.scalar("Mul", keys, size**-0.25)
    scores = build.op("MatMul", q, keys)
    if style == "after":
        scores = build.scalar(*build.pick(("Div", scores, size**0.5), ("Mul", scores, size**-0.5)))
    if bias is not None:
        scores = build.op("Add", scores, bias)
    return build.op("MatMul", build.op("Softmax", scores, axis=-1), v)


def _causal(build: Builder, steps: int) -> str:
    mask = np.triu(np.full((steps, steps), build.pick(-1e9, -10000.0, float(np.finfo(np.float32).min))), 1)
    return build.keep(mask[None, None], "mask")


def _padding(build: Builder, batch: int, steps: int) -> str:
    wide = build.reshape("attention_mask", batch, 1, 1, steps)
    wide = build.op("Sub", build.keep(np.float32(1)), build.op("Cast", wide, to=1))
    return build.scalar("Mul", wide, build.pick(-10000.0, -1e9))


def _rotary(build: Builder, x: str, size: int, turns: tuple[str, str]) -> str:
    left, right = build.slice(x, 3, 0, size // 2), build.slice(x, 3, size // 2, size)
    turned = build.op("Concat", build.op("Neg", right), left, axis=-1)
    return build.op("Add", build.op("Mul", x, turns[0]), build.op("Mul", turned, turns[1]))


def _repeat(build: Builder, x: str, sizes: tuple[int, int, int, int]) -> str:
    heads, shared, steps, size = sizes
    wide = build.keep(np.array([1, shared, heads // shared, steps, size], np.int64), "shape")
    x = build.op("Expand", build.op("Unsqueeze", x, build.keep(np.array([2], np.int64), "axes")), wide)
    return build.reshape(x, 1, heads, steps, size)
