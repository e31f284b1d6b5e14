"""Detectors: a backbone, heads at two scales, the decoding of boxes."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import Builder


def detector(rng: np.random.Generator) -> Graph:
    size = 4 * int(rng.integers(3, 6))
    build = Builder(rng, {"image": rng.uniform(0, 1, (1, 3, size, size)).astype(np.float32)})
    width, classes, act = build.pick(8, 12), build.pick(3, 5), build.pick("relu", "silu", "leaky", "relu6")
    x = build.activation(build.batch_norm(build.conv("image", (3, width), stride=2, bias=False), width), act)
    x = _partial(build, x, width, act)
    fine = build.activation(build.conv(x, (width, width), stride=2), act)
    coarse = build.activation(build.conv(fine, (width, 2 * width), stride=2), act)
    if build.chance(0.5):
        pooled = build.op("MaxPool", coarse, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        coarse = build.conv(build.op("Concat", coarse, pooled, axis=1), (4 * width, 2 * width), kernel=1)
    boxes, scores = [], []
    for feature, channels, stride in ((fine, width, 4), (coarse, 2 * width, 8)):
        side = -(-size // stride)
        box = _flat(build, build.conv(feature, (channels, 4), kernel=build.pick(1, 3)), 4, side)
        score = _flat(build, build.conv(feature, (channels, classes), kernel=1), classes, side)
        boxes.append(_decode(build, box, side, stride))
        scores.append(score)
    found = build.op("Concat", *boxes, axis=1)
    likely = build.op("Sigmoid", build.op("Concat", *scores, axis=1))
    if build.chance(0.4):
        return build.finish(build.op("Concat", found, likely, axis=2))
    return build.finish(found, likely)


def _partial(build: Builder, x: str, width: int, act: str) -> str:
    """Half of the channels go through a bottleneck."""
    half = width // 2
    parts = build.keep(np.array([half, half], np.int64), "split")
    left, right = build.graph.add_all("Split", x, parts, count=2, axis=1)
    inner = build.activation(build.batch_norm(build.conv(right, (half, half), bias=False), half), act)
    return build.conv(
        build.op("Concat", left, right, build.op("Add", inner, right), axis=1), (3 * half, width), kernel=1
    )


def _flat(build: Builder, x: str, channels: int, side: int) -> str:
    return build.reshape(build.transpose(x, 0, 2, 3, 1), 1, side * side, channels)


def _decode(build: Builder, x: str, side: int, stride: int) -> str:
    """Centres from a grid, sizes from an exponential; or distances to the four sides."""
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    grid = np.stack([columns.ravel(), rows.ravel()], -1)[None].astype(np.float32)
    centre, extent = build.slice(x, 2, 0, 2), build.slice(x, 2, 2, 4)
    if build.chance(0.5):
        centre = build.op("Add", build.op("Sigmoid", centre), build.keep(grid, "grid"))
        extent = build.op("Exp", extent)
        return build.scalar("Mul", build.op("Concat", centre, extent, axis=2), stride)
    middle = build.keep((grid + 0.5) * stride, "grid")
    near, far = build.op("Sub", middle, build.op("Relu", centre)), build.op("Add", middle, build.op("Relu", extent))
    half = build.scalar("Mul", build.op("Add", near, far), 0.5)
    return build.op("Concat", half, build.op("Sub", far, near), axis=2)
