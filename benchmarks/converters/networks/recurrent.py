"""Sequences: convolutions along time or a projection, then LSTM or GRU, then a head."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import Builder


def recurrent(rng: np.random.Generator) -> Graph:
    batch, steps, bands = int(rng.integers(1, 3)), int(rng.integers(6, 12)), int(rng.choice([5, 8]))
    build = Builder(rng, {"features": rng.standard_normal((batch, bands, steps)).astype(np.float32)})
    width = build.pick(6, 8)
    x = "features"
    if build.chance(0.7):
        x = build.conv(x, (bands, width), rank=1)
        x = build.activation(build.batch_norm(x, width), build.pick("relu", "tanh", "leaky"))
        bands = width
    x = build.transpose(x, 2, 0, 1)
    for _ in range(int(rng.integers(1, 3))):
        x, bands = _cell(build, x, (steps, batch, bands), width)
    if build.chance(0.5):
        x = build.reshape(build.slice(x, 0, steps - 1, steps), batch, bands)
        return build.finish(build.linear(x, (bands, 6), gemm=True))
    x = build.linear(build.transpose(x, 1, 0, 2), (bands, 6))
    return build.finish(build.op("Softmax", x, axis=-1) if build.chance(0.5) else x)


def _cell(build: Builder, x: str, sizes: tuple[int, int, int], width: int) -> tuple[str, int]:
    steps, batch, bands = sizes
    kind = build.pick("LSTM", "GRU")
    gates, both = {"LSTM": 4, "GRU": 3}[kind], build.chance(0.3)
    ways = 2 if both else 1
    weight = build.keep(build.normal(ways, gates * width, bands, scale=bands**-0.5), "weight")
    again = build.keep(build.normal(ways, gates * width, width, scale=width**-0.5), "recurrence")
    bias = build.keep(build.normal(ways, 2 * gates * width, scale=0.2), "bias")
    settings = {"linear_before_reset": 1} if kind == "GRU" else {}
    if both:
        settings["direction"] = "bidirectional"  # type: ignore[assignment]
    y = build.op(kind, x, weight, again, bias, hidden_size=width, **settings)
    if not both:
        return build.op("Squeeze", y, build.keep(np.array([1], np.int64), "axes")), width
    return build.reshape(build.transpose(y, 0, 2, 1, 3), steps, batch, 2 * width), 2 * width
