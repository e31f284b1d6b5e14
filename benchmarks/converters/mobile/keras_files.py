"""Keras networks drawn by seed, as the files that they are deployed as: ``python -m … FOLDER SEED …`` makes them.

TensorFlow wants a process of its own; one process makes several seeds.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.mobile import keras_architectures

SOURCES = ("keras", "keras-architectures")
Random = np.random.Generator
CALIBRATION = 12
ACTIVATIONS = ("relu", "relu6", "swish", "gelu", "tanh", "sigmoid", "elu", "hard_silu", "softplus", "leaky_relu")
AHEAD = 8
"""Seeds made at once."""


def keras_files(seed: int, folder: Path, source: str = "keras") -> Path:
    """The folder of a seed; raises RuntimeError where nothing was made."""
    made = folder / f"{source}-{seed}"
    if not (made / "done.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        ahead = [each for each in range(seed, seed + AHEAD) if not (folder / f"{source}-{each}" / "done.json").exists()]
        command = [sys.executable, "-m", "benchmarks.converters.mobile.keras_files", str(folder.resolve()), source]
        done = subprocess.run([*command, *map(str, ahead)], capture_output=True, text=True, check=False)
        if not (made / "done.json").exists():
            raise RuntimeError(f"keras seed {seed} was not built:\n{done.stderr[-1000:]}")
    said = json.loads((made / "done.json").read_text())
    if "float32.tflite" not in said["files"]:
        raise RuntimeError(str(said["errors"])[:300])
    return made


def image(seed: int, source: str = "keras") -> np.ndarray:
    """The picture that a seed's network is run on, or what else it takes."""
    if source != "keras":
        return keras_architectures.fed(seed, np.random.default_rng([seed, 109]))
    rows, columns = _sizes(np.random.default_rng([seed, 107]))
    return np.random.default_rng([seed, 109]).random((1, rows, columns, 3), dtype=np.float32)


def _sizes(rng: Random) -> tuple[int, int]:
    rows, columns = (int(size) for size in rng.choice([16, 20, 24, 32], 2))
    return rows, columns


def drawn(seed: int, source: str = "keras") -> Any:
    """The Keras model of a seed, with norms and biases as training leaves them."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(seed)
    model = tf.keras.Model(*(_blocks(seed) if source == "keras" else keras_architectures.drawn(seed)))
    rng = np.random.default_rng([seed, 107])
    for weight in model.weights:
        name = weight.path.rsplit("/", 1)[-1]
        if "variance" in name or name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape).astype(np.float32))
        elif "mean" in name or name in {"beta", "bias"}:
            weight.assign((0.2 * rng.standard_normal(weight.shape)).astype(np.float32))
    return model


def _blocks(seed: int) -> tuple[Any, Any]:
    import tensorflow as tf
    from tensorflow.keras import layers

    rng = np.random.default_rng([seed, 107])
    given = tf.keras.Input((*_sizes(rng), 3), batch_size=1, name="image")
    width = int(rng.choice([8, 12, 16]))
    value = layers.Conv2D(width, int(rng.choice([3, 5])), strides=int(rng.integers(1, 3)), padding="same")(given)
    value = _act(layers, rng, layers.BatchNormalization()(value))
    for place in rng.permutation(len(_BLOCKS))[: int(rng.integers(3, 6))]:
        value = _BLOCKS[int(place)](layers, rng, value, width)
    return given, _HEADS[int(rng.integers(len(_HEADS)))](layers, rng, value, width)


def _act(layers: Any, rng: Random, value: Any) -> Any:
    if rng.random() < 0.15:
        return layers.PReLU(shared_axes=[1, 2], alpha_initializer="random_uniform")(value)
    return layers.Activation(str(rng.choice(ACTIVATIONS)))(value)


def _separable(layers: Any, rng: Random, value: Any, width: int) -> Any:
    value = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=int(rng.integers(1, 3)))(value)
    return layers.Conv2D(width, 1)(_act(layers, rng, value))


def _inverted(layers: Any, rng: Random, value: Any, width: int) -> Any:
    inner = _act(layers, rng, layers.BatchNormalization()(layers.Conv2D(2 * width, 1, use_bias=False)(value)))
    inner = layers.DepthwiseConv2D(5, padding="same", use_bias=False)(inner)
    inner = _act(layers, rng, layers.BatchNormalization()(inner))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(inner)
    gate = layers.Conv2D(2 * width, 1, activation="sigmoid")(layers.Conv2D(width, 1, activation="relu")(gate))
    inner = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False)(layers.Multiply()([inner, gate])))
    return layers.Add()([value, inner])


def _branches(layers: Any, rng: Random, value: Any, width: int) -> Any:
    far = layers.Conv2D(width // 2, 3, padding="same", dilation_rate=2)(value)
    near = layers.Conv2D(width // 2, 1)(layers.MaxPooling2D(3, strides=1, padding="same")(value))
    mean = layers.AveragePooling2D(3, strides=1, padding="same")(value)
    return _act(layers, rng, layers.Conv2D(width, 1)(layers.Concatenate()([far, near, mean])))


def _padded(layers: Any, rng: Random, value: Any, width: int) -> Any:
    inner = layers.Conv2D(width, 3)(layers.ZeroPadding2D(((0, 2), (1, 1)))(value))
    return layers.Subtract()([_act(layers, rng, inner), value])


def _resized(layers: Any, rng: Random, value: Any, width: int) -> Any:
    low = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(value)
    up = layers.UpSampling2D(2, interpolation=str(rng.choice(["bilinear", "nearest"])))(low)
    return layers.Conv2D(width, 1)(layers.Concatenate()([up, value]))


def _transposed(layers: Any, rng: Random, value: Any, width: int) -> Any:
    low = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu6")(value)
    return layers.Add()([value, layers.Conv2DTranspose(width, int(rng.integers(2, 5)), strides=2, padding="same")(low)])


def _normed(layers: Any, rng: Random, value: Any, width: int) -> Any:
    norm = [layers.LayerNormalization(), layers.GroupNormalization(2), layers.UnitNormalization()][int(rng.integers(3))]
    inner = layers.Conv2D(width, 1)(_act(layers, rng, layers.Conv2D(2 * width, 1)(norm(value))))
    return layers.Add()([value, inner])


def _attention(layers: Any, rng: Random, value: Any, width: int) -> Any:  # noqa: ARG001
    rows, columns = value.shape[1:3]
    tokens = layers.Reshape((rows * columns, width))(layers.AveragePooling2D(1)(value))
    normed = layers.LayerNormalization()(tokens)
    tokens = layers.Add()([tokens, layers.MultiHeadAttention(2, width // 2)(normed, normed)])
    return layers.Reshape((rows, columns, width))(tokens)


def _grouped(layers: Any, rng: Random, value: Any, width: int) -> Any:
    return _act(layers, rng, layers.BatchNormalization()(layers.SeparableConv2D(width, 3, padding="same")(value)))


_BLOCKS = (_separable, _inverted, _branches, _padded, _resized, _transposed, _normed, _attention, _grouped)


def _classes(layers: Any, rng: Random, value: Any, width: int) -> Any:  # noqa: ARG001
    value = layers.Dense(16, activation=str(rng.choice(ACTIVATIONS)))(layers.GlobalAveragePooling2D()(value))
    return layers.Softmax()(layers.Dense(10)(value))


def _flat(layers: Any, rng: Random, value: Any, width: int) -> Any:  # noqa: ARG001
    return layers.Dense(10)(layers.Flatten()(layers.MaxPooling2D(2)(value)))


def _map(layers: Any, rng: Random, value: Any, width: int) -> Any:  # noqa: ARG001
    return layers.Conv2D(4, 1, activation="sigmoid")(value)


def _boxes(layers: Any, rng: Random, value: Any, width: int) -> Any:  # noqa: ARG001
    boxes = layers.Reshape((-1, 4))(layers.Conv2D(8, 3, padding="same")(value))
    scores = layers.Reshape((-1, 3))(layers.Conv2D(6, 3, padding="same")(value))
    return [boxes, layers.Softmax()(scores)]


def _recurrent(layers: Any, rng: Random, value: Any, width: int) -> Any:
    steps = layers.Reshape((value.shape[1], value.shape[2] * width))(value)
    cell = [layers.LSTM, layers.GRU][int(rng.integers(2))]
    kept = cell(8, return_sequences=True, unroll=True)(steps)
    return layers.Dense(6, activation="softmax")(kept)


_HEADS = (_classes, _flat, _map, _boxes, _recurrent)


def _build(seed: int, folder: Path, source: str) -> None:
    """Write every form; what cannot be made is told in ``done.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    model = drawn(seed, source)
    model.save(folder / "source.keras")
    errors: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as saved:
        model.export(saved, verbose=False)
        for form, make in _forms(saved, model, seed, source):
            try:
                make(folder / form)
            except Exception as error:  # noqa: BLE001 - whatever a converter raises
                errors[form] = f"{type(error).__name__}: {str(error)[:200]}"
    files = sorted(path.name for path in folder.iterdir())
    (folder / "done.json").write_text(json.dumps({"files": files, "errors": errors}))


def _forms(saved: str, model: Any, seed: int, source: str) -> Iterator[tuple[str, Callable[[Path], Any]]]:
    import tensorflow as tf

    def lite(path: Path, **settings: Any) -> None:
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        for name, value in settings.items():
            setattr(converter, name, value)
        if path.name == "float16.tflite":
            converter.target_spec.supported_types = [tf.float16]
        path.write_bytes(converter.convert())

    def pictures() -> Iterator[list[np.ndarray]]:
        rng, first = np.random.default_rng([seed, 113]), image(seed, source)
        yield [first]
        for _ in range(CALIBRATION):
            if source == "keras":
                yield [rng.random(first.shape, dtype=np.float32)]
            else:
                yield [keras_architectures.fed(seed, rng)]

    small = [tf.lite.Optimize.DEFAULT]
    yield "float32.tflite", lite
    yield "float16.tflite", lambda path: lite(path, optimizations=small)
    yield "dynamic_range_quant.tflite", lambda path: lite(path, optimizations=small)
    yield "integer_quant.tflite", lambda path: lite(path, optimizations=small, representative_dataset=pictures)
    yield "tf2onnx.onnx", lambda path: _onnx(model, path)
    yield "from_tflite.onnx", lambda path: _onnx_of_tflite(path.with_name("float32.tflite"), path)


def _onnx(model: Any, path: Path) -> None:
    import tensorflow as tf
    import tf2onnx

    signature = [tf.TensorSpec(model.inputs[0].shape, model.inputs[0].dtype, name="image")]
    tf2onnx.convert.from_function(
        tf.function(model, input_signature=signature), input_signature=signature, opset=17, output_path=str(path)
    )


def _onnx_of_tflite(lite: Path, path: Path) -> None:
    import tf2onnx

    tf2onnx.convert.from_tflite(str(lite), opset=17, output_path=str(path))


if __name__ == "__main__":
    for given in sys.argv[3:]:
        _build(int(given), Path(sys.argv[1]) / f"{sys.argv[2]}-{given}", sys.argv[2])
