"""Whole Keras networks drawn by seed: pictures, sequences, tokens, tables, as people convert them to TFLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Random = np.random.Generator
VOCABULARY = 40


def mobile(layers: Any, _: Random, given: Any) -> Any:
    """MobileNet: the picture's normalisation inside, BN everywhere, SAME padding."""
    value = layers.Rescaling(1 / 127.5, offset=-1)(layers.Rescaling(255.0)(given))
    value = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(8, 3, strides=2, padding="same")(value)))
    for stride in (1, 2):
        inner = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(24, 1, use_bias=False)(value)))
        if stride == 2:
            inner = layers.ZeroPadding2D(((0, 1), (0, 1)))(inner)
        pad = "same" if stride == 1 else "valid"
        inner = layers.DepthwiseConv2D(3, strides=stride, padding=pad, use_bias=False)(inner)
        inner = layers.ReLU(6.0)(layers.BatchNormalization()(inner))
        inner = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(inner))
        value = layers.Add()([value, inner]) if stride == 1 else inner
    return layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(value))


def normalised(layers: Any, rng: Random, given: Any) -> Any:
    """Mean and deviation of each channel, separable convolutions, global maximum."""
    value = layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.05, 0.05, 0.05])(given)
    for width in (8, 16):
        value = layers.SeparableConv2D(width, 3, padding="same", depth_multiplier=int(rng.integers(1, 3)))(value)
        value = layers.MaxPooling2D(2)(layers.Activation("relu")(layers.BatchNormalization()(value)))
    return layers.Dense(4)(layers.Dropout(0.3)(layers.GlobalMaxPooling2D()(value)))


def unet(layers: Any, rng: Random, given: Any) -> Any:
    fine = layers.Conv2D(8, 3, padding="same", activation="relu")(given)
    low = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D(2)(fine))
    low = layers.SpatialDropout2D(0.2)(low)
    up = layers.Conv2DTranspose(8, 2, strides=2)(low) if rng.random() < 0.5 else layers.UpSampling2D(2)(low)
    joined = layers.Concatenate()([fine, up])
    return layers.Conv2D(1, 1, activation="sigmoid")(layers.Conv2D(8, 3, padding="same", activation="elu")(joined))


def dense_net(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Conv2D(8, 3, strides=2, padding="same")(given)
    for _ in range(3):
        inner = layers.Conv2D(12, 1, use_bias=False)(layers.ReLU()(layers.BatchNormalization()(value)))
        inner = layers.Conv2D(6, 3, padding="same", use_bias=False)(layers.ReLU()(layers.BatchNormalization()(inner)))
        value = layers.Concatenate()([value, inner])
    value = layers.AveragePooling2D(2)(layers.Conv2D(8, 1)(value))
    return layers.Dense(3, activation="softmax")(layers.Flatten()(layers.BatchNormalization()(value)))


def convnext(layers: Any, _: Random, given: Any) -> Any:
    value = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(16, 4, strides=4)(given))
    for _ in range(2):
        inner = layers.LayerNormalization(epsilon=1e-6)(layers.DepthwiseConv2D(7, padding="same")(value))
        inner = layers.Dense(16)(layers.Activation("gelu")(layers.Dense(32)(inner)))
        value = layers.Add()([value, inner])
    return layers.Dense(6)(layers.LayerNormalization()(layers.GlobalAveragePooling2D()(value)))


def detector(layers: Any, _: Random, given: Any) -> Any:
    low = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu")(given)
    lower = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(low)
    boxes = [layers.Reshape((-1, 4))(layers.Conv2D(8, 3, padding="same")(each)) for each in (low, lower)]
    scores = [layers.Reshape((-1, 3))(layers.Conv2D(6, 3, padding="same")(each)) for each in (low, lower)]
    return [layers.Concatenate(axis=1)(boxes), layers.Activation("sigmoid")(layers.Concatenate(axis=1)(scores))]


def vit(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Reshape((-1, 16))(layers.Conv2D(16, 4, strides=4)(given))
    for _ in range(2):
        seen = layers.LayerNormalization()(value)
        value = layers.Add()([value, layers.MultiHeadAttention(2, 8)(seen, seen)])
        inner = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(value))
        value = layers.Add()([value, layers.Dense(16)(inner)])
    return layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling1D()(value))


def keyword(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Conv2D(16, (10, 4), strides=2, padding="same", use_bias=False)(given)
    value = layers.ReLU()(layers.BatchNormalization()(value))
    for _ in range(2):
        value = layers.ReLU()(layers.BatchNormalization()(layers.DepthwiseConv2D(3, padding="same")(value)))
        value = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(16, 1)(value)))
    value = layers.AveragePooling2D((value.shape[1], value.shape[2]))(value)
    return layers.Dense(12, activation="softmax")(layers.Flatten()(value))


def tcn(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Conv1D(12, 1)(given)
    for rate in (1, 2, 4):
        inner = layers.Conv1D(12, 3, padding="causal", dilation_rate=rate, activation="relu")(value)
        value = layers.Add()([value, layers.Conv1D(12, 1)(inner)])
    return layers.Dense(4)(layers.GlobalAveragePooling1D()(layers.Cropping1D((18, 0))(value)))


def recurrent(layers: Any, rng: Random, given: Any) -> Any:
    """Recurrent layers as they stand: the converter makes loops, or one fused operator of each."""
    cell = [layers.LSTM, layers.GRU][int(rng.integers(2))]
    inner = cell(10, return_sequences=True)
    value = layers.Bidirectional(inner)(given) if rng.random() < 0.4 else inner(given)
    return layers.Dense(3, activation="tanh")(cell(8)(value))


def crnn(layers: Any, rng: Random, given: Any) -> Any:
    value = layers.MaxPooling1D(2)(layers.Conv1D(12, 5, padding="same", activation="relu")(given))
    value = layers.GRU(8, return_sequences=True, unroll=True, reset_after=bool(rng.integers(2)))(value)
    return layers.Dense(5, activation="softmax")(layers.TimeDistributed(layers.Dense(8, activation="relu"))(value))


def text(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Embedding(VOCABULARY, 12)(given)
    ways = [layers.GlobalMaxPooling1D()(layers.Conv1D(8, size, activation="relu")(value)) for size in (2, 3)]
    return layers.Dense(3, activation="softmax")(layers.Concatenate()(ways))


def encoder(layers: Any, _: Random, given: Any) -> Any:
    value = layers.Embedding(VOCABULARY, 16)(given)
    for _ in range(2):
        value = layers.LayerNormalization()(layers.Add()([value, layers.MultiHeadAttention(2, 8)(value, value)]))
        inner = layers.Dense(16)(layers.Dense(32, activation="relu")(value))
        value = layers.LayerNormalization()(layers.Add()([value, inner]))
    return layers.Dense(4)(layers.GlobalAveragePooling1D()(value))


def table(layers: Any, rng: Random, given: Any) -> Any:
    value = layers.BatchNormalization()(given)
    for width in (24, 16):
        value = layers.Dense(width, activation=str(rng.choice(["selu", "relu", "swish", "softplus", "softsign"])))(
            value
        )
        value = layers.BatchNormalization()(value)
    cross = layers.Multiply()([value, layers.Dense(16, activation="sigmoid")(value)])
    return layers.Dense(1)(layers.Maximum()([cross, value]))


def subpixel(layers: Any, _: Random, given: Any) -> Any:
    value = layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform")(
        layers.Conv2D(8, 5, padding="same")(given)
    )
    value = layers.Conv2D(12, 3, padding="same")(value)
    rows, columns = value.shape[1:3]
    value = layers.Permute((1, 3, 2, 4, 5))(layers.Reshape((rows, columns, 2, 2, 3))(value))
    return layers.Cropping2D(1)(layers.Reshape((2 * rows, 2 * columns, 3))(value))


_PICTURE, _STEPS, _TOKENS = (24, 32, 3), (20, 6), (16,)
NETWORKS: Mapping[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    each.__name__: (each, shape)
    for shape, group in (
        (_PICTURE, (mobile, normalised, unet, dense_net, convnext, detector, vit, subpixel)),
        ((49, 10, 1), (keyword,)),
        (_STEPS, (tcn, recurrent, crnn)),
        (_TOKENS, (text, encoder)),
        ((12,), (table,)),
    )
    for each in group
}
ORDER = (
    "mobile", "recurrent", "text", "unet", "keyword", "vit", "table", "tcn", "dense_net", "crnn", "encoder",
    "convnext", "detector", "subpixel", "normalised",
)  # fmt: skip


def fed(seed: int, draw: Random) -> np.ndarray:
    """An input for a seed's network."""
    name = ORDER[seed % len(ORDER)]
    shape = (1, *NETWORKS[name][1])
    if name in {"text", "encoder"}:
        return draw.integers(0, VOCABULARY, shape).astype(np.int32)
    return draw.random(shape, dtype=np.float32)


def drawn(seed: int) -> tuple[Any, Any]:
    """What goes in, and what is made of it."""
    from tensorflow import keras

    rng = np.random.default_rng([seed, 137])
    name = ORDER[seed % len(ORDER)]
    build, shape = NETWORKS[name]
    dtype = "int32" if name in {"text", "encoder"} else "float32"
    given = keras.Input(shape, batch_size=1, name="image", dtype=dtype)
    return given, build(keras.layers, rng, given)
