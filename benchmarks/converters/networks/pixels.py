"""Images out of images: a U-Net with skips, an upscaler with residuals and pixel shuffle."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import Builder


def unet(rng: np.random.Generator) -> Graph:
    size = 8 * int(rng.integers(1, 3))
    build = Builder(rng, {"image": rng.standard_normal((1, 3, size, size)).astype(np.float32)})
    width, depth = build.pick(6, 8), int(rng.integers(1, 4))
    norm, act = build.pick("batch", "instance", "group", None), build.pick("relu", "leaky", "silu", "gelu")
    x, skips = _block(build, "image", (3, width), norm, act), []
    for level in range(depth):
        skips.append(x)
        inner = width * 2**level
        x = (
            build.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
            if build.chance(0.5)
            else build.conv(x, (inner, inner), stride=2)
        )
        x = _block(build, x, (inner, 2 * inner), norm, act)
    for level in reversed(range(depth)):
        inner = width * 2**level
        x = _up(build, x, (2 * inner, inner))
        x = build.op("Concat", *build.pick((x, skips[level]), (skips[level], x)), axis=1)
        x = _block(build, x, (2 * inner, inner), norm, act)
    x = build.conv(x, (width, build.pick(1, 3)), kernel=1)
    return build.finish(build.op("Sigmoid", x) if build.chance(0.5) else x)


def upscaler(rng: np.random.Generator) -> Graph:
    size = tuple(int(each) for each in rng.integers(6, 11, 2))
    build = Builder(rng, {"image": rng.uniform(0, 1, (1, 3, *size)).astype(np.float32)})
    width, act = build.pick(8, 12), build.pick("leaky", "prelu", "relu")
    x = first = build.conv("image", (3, width))
    for _ in range(int(rng.integers(1, 4))):
        y = build.conv(build.activation(build.conv(x, (width, width)), act, width), (width, width))
        x = build.op("Add", build.scalar("Mul", y, build.pick(0.2, 0.1)), x)
    x = build.op("Add", build.conv(x, (width, width)), first)
    x = build.conv(x, (width, 4 * width))
    x = build.op("DepthToSpace", x, blocksize=2, mode="CRD")
    x = build.activation(x, act, width)
    return build.finish(build.conv(x, (width, 3)))


def _block(build: Builder, x: str, wide: tuple[int, int], norm: str | None, act: str) -> str:
    for inner in (wide, (wide[1], wide[1]))[: build.pick(1, 2)]:
        x = build.conv(x, inner, bias=norm != "batch")
        x = build.activation(_norm(build, x, wide[1], norm), act, wide[1])
    return x


def _norm(build: Builder, x: str, width: int, norm: str | None) -> str:
    if norm == "batch":
        return build.batch_norm(x, width)
    if norm == "instance":
        gamma, beta = build.keep(build.rng.uniform(0.5, 1.5, width)), build.keep(build.normal(width, scale=0.2))
        return build.op("InstanceNormalization", x, gamma, beta, epsilon=1e-5)
    if norm == "group":
        groups = 2
        ones, zeros = build.keep(np.ones(groups)), build.keep(np.zeros(groups))
        y = build.op("InstanceNormalization", build.reshape(x, 0, groups, -1), ones, zeros, epsilon=1e-5)
        y = build.op("Reshape", y, build.op("Shape", x))
        y = build.op("Mul", y, build.keep(build.rng.uniform(0.5, 1.5, (width, 1, 1)), "gamma"))
        return build.op("Add", y, build.keep(build.normal(width, 1, 1, scale=0.2), "beta"))
    return x


def _up(build: Builder, x: str, wide: tuple[int, int]) -> str:
    if build.chance(0.4):
        weight = build.keep(build.normal(*wide, 2, 2, scale=wide[0] ** -0.5), "weight")
        bias = build.keep(build.normal(wide[1], scale=0.2), "bias")
        return build.op("ConvTranspose", x, weight, bias, kernel_shape=[2, 2], strides=[2, 2])
    scales = build.keep(np.array([1, 1, 2, 2], np.float32), "scales")
    if build.chance(0.5):
        settings = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        settings = {"mode": "linear", "coordinate_transformation_mode": build.pick("half_pixel", "align_corners")}
    return build.conv(build.op("Resize", x, "", scales, **settings), wide)
