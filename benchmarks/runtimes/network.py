"""One network of Keras, and the ways in which a copy of it goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SHAPE = (1, 18, 18, 3)
INPUT = "image"


@dataclass(frozen=True)
class Fault:
    """What is wrong: ``layers`` any of which is guilty, ``causes`` any of which says it."""

    layers: tuple[str, ...]
    causes: tuple[str, ...]


FAULTS: Mapping[str, Fault] = {
    "padding": Fault(("stem", "ring"), ("padding-asymmetric",)),
    "epsilon": Fault(("norm",), ("norm-epsilon",)),
    "statistics": Fault(("norm",), ("norm-statistics", "weights-not-loaded")),
    "activation": Fault(("act",), ("activation-variant",)),
    "kernel-flipped": Fault(("deep",), ("spatial-flip", "weights-permuted")),
    "bias-missing": Fault(("wide",), ("weights-bias-missing", "constant-changed")),
    "resize": Fault(("up",), ("resize-coordinate-mode",)),
    "pool": Fault(("pool",), ("operation-changed", "reduce-axis-or-bias")),
    "concat-order": Fault(("join",), ("concat-order",)),
    "not-loaded": Fault(("head",), ("weights-not-loaded", "weights-changed")),
    "softmax-axis": Fault(("map",), ("softmax-axis",)),
}
"""Fault → where it is, and what it is called."""


def build(fault: str | None = None) -> Any:
    """The network, with one of the faults; its numbers are the same at each call."""
    import keras
    from keras import layers

    image = keras.Input(SHAPE[1:], name=INPUT)
    x = image
    if fault == "padding":
        x = layers.ZeroPadding2D(1, name="ring")(x)
    x = layers.Conv2D(8, 3, strides=2, padding="valid" if fault == "padding" else "same", name="stem")(x)
    x = layers.BatchNormalization(epsilon=1e-5 if fault == "epsilon" else 1e-3, name="norm")(x)
    x = layers.Activation("relu6" if fault == "activation" else "silu", name="act")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    pool = layers.AveragePooling2D if fault == "pool" else layers.MaxPooling2D
    low = pool(3, strides=2, padding="same", name="pool")(x)
    low = layers.Conv2D(8, 1, name="point")(low)
    low = layers.UpSampling2D(interpolation="nearest" if fault == "resize" else "bilinear", name="up")(low)
    low = layers.Cropping2D(((0, 1), (0, 1)), name="crop")(low)
    both = [low, x] if fault == "concat-order" else [x, low]
    x = layers.Concatenate(name="join")(both)
    x = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="tanh", name="wide")(x)
    x = layers.Softmax(axis=1 if fault == "softmax-axis" else -1, name="map")(x)
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    model = keras.Model(image, layers.Dense(4, name="head")(x), name="net")
    _fill(model, fault)
    return model


def _fill(model: Any, fault: str | None) -> None:
    for weight in model.weights:
        layer, name = weight.path.split("/")
        rng = np.random.default_rng(sum(map(ord, weight.path)))
        array = rng.normal(size=weight.shape) * (0.3 if name.endswith("kernel") else 0.2)
        if name == "moving_variance":
            array = rng.uniform(0.002, 0.02, weight.shape)
        elif name == "gamma":
            array = 0.2 + np.abs(array)
        if fault == "statistics" and name.startswith("moving"):
            array = np.full(weight.shape, float(name == "moving_variance"))
        if fault == "kernel-flipped" and (layer, name) == ("deep", "kernel"):
            array = array[::-1, ::-1]
        if fault == "bias-missing" and (layer, name) == ("wide", "bias"):
            array = array * 0
        if fault == "not-loaded" and (layer, name) == ("head", "kernel"):
            array = np.random.default_rng(99).uniform(-0.7, 0.7, weight.shape)
        weight.assign(array)


def feeds(seed: int = 0) -> dict[str, Any]:
    """A picture of noise."""
    return {INPUT: np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)}
