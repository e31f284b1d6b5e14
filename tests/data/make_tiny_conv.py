"""Make tiny_conv_float.tflite and tiny_conv_int8.tflite beside this file; needs TensorFlow 2.16 or later.

Run once, by hand: ``python tests/data/make_tiny_conv.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

FOLDER = Path(__file__).parent


def network() -> tf.keras.Model:
    """Convolutions with SAME and VALID padding, a skip connection, pooling, a dense end and two outputs."""
    image = tf.keras.Input((8, 8, 3), batch_size=1, name="image")
    stem = tf.keras.layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    deep = tf.keras.layers.DepthwiseConv2D(3, padding="same", name="deep")(stem)
    skip = tf.keras.layers.Add(name="skip")([stem, deep])
    wide = tf.keras.layers.Conv2D(6, 2, padding="valid", activation="relu6", name="wide")(skip)
    mean = tf.keras.layers.GlobalAveragePooling2D(name="mean")(wide)
    return tf.keras.Model(image, [tf.keras.layers.Dense(3, activation="softmax", name="classes")(mean), skip])


def samples() -> Iterator[list[np.ndarray]]:
    """Calibration images."""
    draw = np.random.default_rng(0)
    for _ in range(16):
        yield [draw.uniform(-1, 1, (1, 8, 8, 3)).astype(np.float32)]


def main() -> None:
    """Convert the same weights twice."""
    tf.keras.utils.set_random_seed(0)
    model = network()
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    (FOLDER / "tiny_conv_float.tflite").write_bytes(converter.convert())
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    (FOLDER / "tiny_conv_int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main()
