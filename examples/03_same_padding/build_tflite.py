"""Make detector.tflite (needs TensorFlow; the file is kept beside this script so that the example does not)."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from detector import CHANNELS, KERNEL, SIZE, weights

layers = [tf.keras.layers.Input((SIZE, SIZE, CHANNELS[0]), batch_size=1, name="image")]
for outputs in CHANNELS[1:]:
    layers.append(tf.keras.layers.Conv2D(outputs, KERNEL, strides=2, padding="same", activation="relu"))
model = tf.keras.Sequential(layers)
model.set_weights([array for pair in weights() for array in pair])
Path(__file__).with_name("detector.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
