"""Classifiers of images: residual, inverted residual with squeeze and excitation, ConvNeXt."""

from __future__ import annotations

import numpy as np

from benchmarks.converters.graph import Graph
from benchmarks.converters.networks.builder import Builder


def _image(rng: np.random.Generator, channels: int = 3, low: int = 12, high: int = 19) -> dict[str, np.ndarray]:
    size = (int(rng.integers(1, 3)), channels, *(int(each) for each in rng.integers(low, high, 2)))
    return {"image": rng.standard_normal(size).astype(np.float32)}


def cnn(rng: np.random.Generator) -> Graph:
    """Stem, residual blocks of two kinds, pooling, a head."""
    build = Builder(rng, _image(rng))
    width = build.pick(6, 8, 12)
    act = build.pick("relu", "relu", "leaky", "prelu", "silu", "elu", "mish")
    x = _unit(build, "image", (3, width), act, stride=2, pads=build.pick(None, [0, 0, 1, 1], None))
    if build.chance(0.6):
        x = _pool(build, x)
    for _ in range(int(rng.integers(2, 5))):
        stride = build.pick(1, 1, 2)
        wider = width * (2 if stride == 2 and width < 24 else 1)
        inner = build.pick(wider, width // 2)
        y = _unit(build, x, (width, inner), act, stride=stride, dilation=build.pick(1, 1, 2))
        y = _unit(build, y, (inner, wider), None)
        if build.chance(0.25):
            y = build.squeeze_excite(y, wider, max(wider // 4, 2))
        if stride == 2 or wider != width:
            x = _unit(build, x, (width, wider), None, kernel=1, stride=stride)
        x, width = build.activation(build.op("Add", y, x), act, wider), wider
    return _head(build, x, width)


def mobile(rng: np.random.Generator) -> Graph:
    """Expansion, depthwise convolution, squeeze and excitation, projection."""
    build = Builder(rng, _image(rng))
    width = build.pick(8, 8, 12)
    act = build.pick("relu6", "hardswish", "silu", "relu")
    x = _unit(build, "image", (3, width), act, stride=2)
    for _ in range(int(rng.integers(2, 5))):
        stride, wide = build.pick(1, 1, 2), width * build.pick(2, 3)
        y = _unit(build, x, (width, wide), act, kernel=1)
        y = _unit(build, y, (wide, wide), act, kernel=build.pick(3, 5), stride=stride, groups=wide)
        if build.chance(0.6):
            y = build.squeeze_excite(y, wide, max(wide // 4, 2))
        out = width if stride == 1 else build.pick(width, width + 4)
        y = _unit(build, y, (wide, out), None, kernel=1)
        x, width = build.op("Add", x, y) if stride == 1 else y, out
    return _head(build, x, width)


def convnext(rng: np.random.Generator) -> Graph:
    """Patches, depthwise convolution, a norm and an MLP over the channels, channels last; GRN or a layer scale."""
    build = Builder(rng, _image(rng))
    width = build.pick(8, 12, 16)
    x = build.conv("image", (3, width), kernel=2, stride=2, pads=[0, 0, 0, 0])
    second = build.chance(0.5)
    for _ in range(int(rng.integers(2, 4))):
        y = build.conv(x, (width, width), kernel=build.pick(3, 5), groups=width)
        y = build.layer_norm(build.transpose(y, 0, 2, 3, 1), width)
        y = build.gelu(build.linear(y, (width, 2 * width)))
        if second:
            y = _response_norm(build, y, 2 * width)
        y = build.linear(y, (2 * width, width))
        if not second:
            y = build.op("Mul", y, build.keep(rng.uniform(0.1, 1.0, width), "gamma"))
        x = build.op("Add", x, build.transpose(y, 0, 3, 1, 2))
    y = build.layer_norm(build.mean(x, [2, 3], keepdims=0), width)
    return build.finish(build.linear(y, (width, 10), gemm=build.chance(0.7)))


def _response_norm(build: Builder, x: str, width: int) -> str:
    """ConvNeXt V2's global response normalisation."""
    if build.graph.opset >= 18:
        axes = build.keep(np.array([1, 2], np.int64), "axes")
        size = build.op("ReduceL2", x, axes, keepdims=1)
    else:
        size = build.op("ReduceL2", x, axes=[1, 2], keepdims=1)
    share = build.op("Div", size, build.scalar("Add", build.mean(size, [-1]), 1e-6))
    scaled = build.op("Mul", build.op("Mul", x, share), build.keep(build.normal(width, scale=0.5), "gamma"))
    return build.op("Add", build.op("Add", scaled, build.keep(build.normal(width, scale=0.2), "beta")), x)


def _unit(build: Builder, x: str, wide: tuple[int, int], act: str | None, **settings: object) -> str:
    """Convolution, norm, activation; a norm that was folded into the convolution shows as a bias."""
    normed = build.chance(0.6)
    y = build.conv(x, wide, bias=not normed or build.chance(0.1), **settings)  # type: ignore[arg-type]
    if normed:
        y = build.batch_norm(y, wide[1])
    return build.activation(y, act, wide[1]) if act else y


def _pool(build: Builder, x: str) -> str:
    if build.chance(0.5):
        return build.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    include = build.pick(0, 1)
    return build.op("AveragePool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=include)


def _head(build: Builder, x: str, width: int) -> Graph:
    x = build.op("GlobalAveragePool", x)
    x = build.op("Flatten", x, axis=1) if build.chance(0.5) else build.reshape(x, 0, -1)
    x = build.linear(x, (width, 10), gemm=build.chance(0.8))
    return build.finish(build.op("Softmax", x, axis=-1) if build.chance(0.4) else x)
