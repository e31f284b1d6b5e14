"""Networks that start in Keras: what they are, what they are fed, which half they belong to.

Only the process that builds them imports TensorFlow (``keras_forms``); the same registry is read by everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.faults.architectures import Feeds, picture, split


@dataclass(frozen=True, slots=True)
class KerasNetwork:
    """``shape`` is that of its one input, channels last; pictures are smooth and in 0..1."""

    name: str
    input: str
    shape: tuple[int, ...]

    def feeds(self, seed: int) -> Feeds:
        """A seeded input."""
        rng = np.random.default_rng([seed, 29])
        if len(self.shape) != 4:
            return {self.input: rng.standard_normal(self.shape).astype(np.float32)}
        batch, height, width, channels = self.shape
        drawn = picture((batch, channels, height, width), rng)
        return {self.input: np.ascontiguousarray(drawn.transpose(0, 2, 3, 1))}

    def model(self, seed: int) -> Any:
        """The Keras model with the weights of ``seed`` and norm statistics as training leaves them."""
        import tensorflow as tf

        tf.keras.utils.set_random_seed(seed * 1000 + len(self.name))
        given = tf.keras.Input(self.shape[1:], batch_size=self.shape[0], name=self.input)
        model = tf.keras.Model(given, _BODIES[self.name](given))
        _enliven(model, np.random.default_rng([seed, 31]))
        return model


KERAS_NETWORKS: Mapping[str, KerasNetwork] = {
    each.name: each
    for each in (
        KerasNetwork("keras_mobile", "image", (1, 32, 40, 3)),
        KerasNetwork("keras_unet", "image", (1, 32, 48, 3)),
        KerasNetwork("keras_squeeze", "image", (1, 30, 34, 3)),
        KerasNetwork("keras_audio", "signal", (1, 64, 20)),
    )
}


def keras_halves(seed: int) -> tuple[frozenset[str], frozenset[str]]:
    """The Keras networks that may be looked at while the tool is made, and those held out."""
    return split(KERAS_NETWORKS, seed, 6)


def _enliven(model: Any, rng: np.random.Generator) -> None:
    """Norms and biases get numbers unlike those they start from; ReLU6 has something to cut off."""
    drawn = {
        "gamma": (0.8, 2.4),
        "beta": (-0.3, 0.5),
        "moving_mean": (-0.3, 0.3),
        "moving_variance": (0.05, 1.0),
        "bias": (-0.2, 0.2),
    }
    for weight in model.weights:
        low, high = drawn.get(weight.path.rsplit("/", 1)[-1], (0.0, 0.0))
        if high:
            weight.assign(rng.uniform(low, high, weight.shape).astype(np.float32))


def _mobile(value: Any) -> Any:
    """Inverted residuals: 1×1, depthwise SAME (stride 2 on even sizes), 1×1; batch norms, ReLU6, a sum."""
    from tensorflow.keras import layers

    value = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(value)
    value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
    for width, stride in ((12, 1), (12, 2), (12, 1), (16, 2)):
        before = value
        value = layers.Conv2D(2 * width, 1, use_bias=False)(value)
        value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
        value = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(value)
        value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
        value = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(value))
        if before.shape == value.shape:
            value = layers.Add()([before, value])
    value = layers.GlobalAveragePooling2D()(value)
    value = layers.Dense(16, activation="relu")(value)
    return layers.Softmax()(layers.Dense(16)(value))


def _unet(value: Any) -> Any:
    """Down by stride and by pooling, up by resizing and by a transposed convolution, skips concatenated."""
    from tensorflow.keras import layers

    skips = []
    for width in (8, 12):
        value = layers.Conv2D(width, 3, padding="same")(value)
        value = layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(value))
        skips.append(value)
        value = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(value)
    value = layers.Conv2D(16, 3, padding="same", dilation_rate=2, activation="relu")(value)
    value = layers.UpSampling2D(2, interpolation="bilinear")(value)
    value = layers.Concatenate()([skips[1], value])
    value = layers.Conv2D(12, 3, padding="same", activation="relu")(value)
    value = layers.Conv2DTranspose(8, 3, strides=2, padding="same")(value)
    value = layers.Concatenate()([value, skips[0]])
    value = layers.Conv2D(12, 3, padding="same", activation="relu6")(value)
    value = layers.UpSampling2D(2, interpolation="nearest")(layers.MaxPooling2D(2)(value))
    return layers.Conv2D(3, 1, activation="sigmoid")(value)


def _squeeze(value: Any) -> Any:
    """Squeeze and excitation, swish, branches of two dilations, a flattened picture before the last layer."""
    from tensorflow.keras import layers

    for width in (12, 16):
        value = layers.BatchNormalization()(layers.Conv2D(width, 3, strides=2, padding="same")(value))
        value = layers.Activation("swish")(value)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(value)
        gate = layers.Conv2D(width // 2, 1, activation="relu")(gate)
        gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
        value = layers.Multiply()([value, gate])
    near = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(value)))
    far = layers.Conv2D(8, 3, padding="same", dilation_rate=2, activation="relu")(value)
    value = layers.Concatenate()([near, far, layers.AveragePooling2D(3, strides=1, padding="same")(value)])
    value = layers.Conv2D(8, 3, padding="valid", activation="tanh")(value)
    value = layers.Subtract()([value, layers.MaxPooling2D(3, strides=1, padding="same")(value)])
    value = layers.Dense(20, activation="relu")(layers.Flatten()(value))
    return layers.Softmax()(layers.Dense(10)(value))


def _audio(value: Any) -> Any:
    """1-D convolutions (one of them causal and dilated), a recurrent layer written out, a norm, attention, a sum."""
    from tensorflow.keras import layers

    value = layers.Conv1D(16, 5, strides=2, padding="same")(value)
    value = layers.ReLU()(layers.BatchNormalization()(value))
    value = layers.Conv1D(16, 3, padding="causal", dilation_rate=2)(value)
    value = layers.AveragePooling1D(8)(layers.LeakyReLU(negative_slope=0.1)(value))
    value = layers.GRU(12, return_sequences=True, unroll=True)(value)
    value = layers.LayerNormalization()(value)
    value = layers.Add()([value, layers.MultiHeadAttention(2, 8)(value, value)])
    value = layers.Dense(24, activation="swish")(layers.Flatten()(value))
    return layers.Softmax()(layers.Dense(6)(value))


_BODIES: Mapping[str, Any] = {
    "keras_mobile": _mobile,
    "keras_unet": _unet,
    "keras_squeeze": _squeeze,
    "keras_audio": _audio,
}
