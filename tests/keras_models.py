"""Small Keras models with trained-looking numbers."""

from __future__ import annotations

import numpy as np


def settled(model, seed=5):
    """Give norms statistics and biases numbers, which fresh models lack."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.path:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        elif any(word in weight.path for word in ("mean", "bias", "beta", "gamma")):
            weight.assign(weight + rng.normal(size=weight.shape) * 0.1)
    return model


def network():
    """Strided SAME convolution, norm, depthwise and transposed convolution, resizing, attention, two outputs."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="deep")(x)
    x = layers.Activation("silu")(layers.MaxPool2D()(x))
    x = layers.UpSampling2D(name="up")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="wide")(x)
    y = layers.LayerNormalization(name="steady")(layers.Reshape((64, -1))(x))
    y = layers.MultiHeadAttention(2, 4, name="look")(y, y)
    joined = layers.Concatenate()([layers.GlobalAveragePooling1D()(y), layers.GlobalAveragePooling2D()(x)])
    classes = layers.Dense(3, activation="softmax", name="head")(joined)
    return settled(keras.Model(image, {"classes": classes, "picture": x}, name="net"))


def recurrent():
    """Words through an LSTM and a GRU of either kind, backwards too."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(3)
    words = keras.Input((6,), dtype="int32", name="words")
    x = layers.Embedding(10, 4, name="table")(words)
    x = layers.LSTM(5, return_sequences=True, name="lstm")(x)
    x = layers.GRU(4, return_sequences=True, reset_after=False, name="plain")(x)
    x = layers.LSTM(4, return_sequences=True, go_backwards=True, name="back")(x)
    x = layers.Bidirectional(layers.GRU(3, name="turn"), name="both")(x)
    return settled(keras.Model(words, layers.Dense(2, name="head")(x), name="reader"))


def image(batch=1, seed=7):
    """Numbers of both signs."""
    return np.random.default_rng(seed).uniform(-1, 1, (batch, 16, 16, 3)).astype(np.float32)
