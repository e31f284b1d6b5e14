"""Tables: towers of dense layers over columns of numbers and of categories, crossed, with one output or two."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import ACTIVATIONS, Builder


def tabular(rng: np.random.Generator) -> Graph:
    batch, columns = int(rng.integers(2, 6)), int(rng.integers(6, 12))
    feeds = {"numbers": rng.standard_normal((batch, columns)).astype(np.float32)}
    if categories := bool(rng.random() < 0.5):
        feeds["category"] = rng.integers(0, 9, (batch,)).astype(np.int64)
    build = Builder(rng, feeds)
    x, width = "numbers", columns
    if build.chance(0.4):
        x = build.op("Sub", x, build.keep(build.normal(columns), "mean"))
        x = build.op("Div", x, build.keep(rng.uniform(0.5, 2, columns), "scale"))
    if categories:
        known = build.op("Gather", build.keep(build.normal(9, 4), "embedding"), "category", axis=0)
        x, width = build.op("Concat", x, known, axis=-1), width + 4
    if build.chance(0.4):
        left = build.linear(x, (width, 8), gemm=True)
        right = build.op("Sigmoid", build.linear(x, (width, 8), gemm=build.chance(0.5)))
        x, width = build.op("Concat", x, build.op("Mul", left, right), axis=-1), width + 8
    inner = build.pick(8, 16)
    for _ in range(int(rng.integers(2, 6))):
        y = build.linear(x, (width, inner), gemm=build.chance(0.6))
        if build.chance(0.3):
            y = build.batch_norm(y, inner)
        elif build.chance(0.3):
            y = build.layer_norm(y, inner)
        y = build.activation(y, build.pick(*ACTIVATIONS), inner, trailing=0)
        x, width = build.op("Add", x, y) if width == inner and build.chance(0.6) else y, inner
    first = build.linear(x, (width, 3), gemm=True)
    if build.chance(0.5):
        return build.finish(build.op("LogSoftmax" if build.chance(0.3) else "Softmax", first, axis=-1))
    return build.finish(first, build.op("Sigmoid", build.linear(x, (width, 1), gemm=True)))
