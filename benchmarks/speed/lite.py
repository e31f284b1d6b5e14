"""MobileNetV2 as TFLite, in float and in int8, and through tf2onnx as ONNX.

python -m benchmarks.speed.lite FOLDER
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

SHAPE = (1, 224, 224, 3)


def _settled(model, rng):
    """The model, its normalisations knowing what they normalise: else numbers fade layer by layer, below any grid."""
    for layer in model.layers:
        if hasattr(layer, "moving_variance"):
            layer.momentum = 0.0
    model(rng.random((8, *SHAPE[1:]), dtype=np.float32), training=True)
    return model


def build(folder):
    """Write float.tflite, int8.tflite (its inputs and outputs stay float), b.onnx and x.npy."""
    import tensorflow as tf
    import tf2onnx

    tf.keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    model = _settled(tf.keras.applications.MobileNetV2(weights=None), rng)
    signature = [tf.TensorSpec(SHAPE, tf.float32, name="x")]
    tf2onnx.convert.from_function(
        tf.function(model, input_signature=signature),
        input_signature=signature,
        opset=17,
        output_path=str(folder / "b.onnx"),
    )
    with tempfile.TemporaryDirectory() as saved:
        archive = tf.keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint("serve", model.call, input_signature=signature)  # a batch of one, not of any size
        archive.write_out(saved, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        (folder / "float.tflite").write_bytes(converter.convert())
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.random(SHAPE, dtype=np.float32)] for _ in range(4))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        (folder / "int8.tflite").write_bytes(converter.convert())
    np.save(folder / "x.npy", rng.random(SHAPE, dtype=np.float32))


if __name__ == "__main__":
    build(Path(sys.argv[1]))
