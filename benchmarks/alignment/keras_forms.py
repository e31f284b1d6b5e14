"""A small Keras network as TFLite and, through tf2onnx, as ONNX; a module to run: TensorFlow wants to be alone."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

SHAPE = (1, 32, 32, 3)


def paths(folder: Path) -> tuple[Path, Path]:
    """Where the TFLite file and the ONNX file lie."""
    return folder / "keras.tflite", folder / "keras.onnx"


def feeds(seed: int) -> np.ndarray:
    """A picture in NHWC, 0..1."""
    return np.random.default_rng(seed).random(SHAPE, dtype=np.float32)


def build(folder: Path) -> None:
    """Write both files; batch norms have numbers as training leaves them."""
    import tensorflow as tf
    import tf2onnx

    keras = tf.keras
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = value = keras.Input(SHAPE[1:], batch_size=SHAPE[0])
    for width, stride in ((8, 2), (12, 1), (12, 2), (16, 1)):
        before = value
        value = layers.Conv2D(width, 1, use_bias=False)(value)
        value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
        value = layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False)(value)
        value = layers.ReLU(6.0)(layers.BatchNormalization()(value))
        value = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(value))
        if before.shape == value.shape:
            value = layers.Add()([before, value])
    value = layers.Conv2D(16, 3, padding="valid", activation="sigmoid")(value)
    value = layers.MaxPooling2D(2)(value)
    value = layers.UpSampling2D(2, interpolation="bilinear")(value)
    value = layers.Dense(24, activation="relu")(layers.Flatten()(value))
    model = keras.Model(image, layers.Softmax()(layers.Dense(10)(value)))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            ones = np.ones(layer.gamma.shape)
            draws = [(0.6, 1.4), (-0.2, 0.2), (-0.3, 0.3), (0.2, 1.0)]
            layer.set_weights([rng.uniform(low, high, ones.shape) for low, high in draws])
    signature = [tf.TensorSpec(SHAPE, tf.float32, name="image")]
    function = tf.function(model, input_signature=signature)
    lite, onnx = paths(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tf2onnx.convert.from_function(function, input_signature=signature, opset=17, output_path=str(onnx))
    with tempfile.TemporaryDirectory() as saved:  # freezes the variables; a concrete function would not
        model.export(saved, verbose=False)
        lite.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())


if __name__ == "__main__":
    build(Path(sys.argv[1]))
