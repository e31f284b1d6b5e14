"""The files that a Keras network is deployed as; the module to run builds them, since TensorFlow wants to be alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.faults.keras_networks import KERAS_NETWORKS, KerasNetwork

OPSET = 17
_SUFFIXES: Mapping[str, str] = {
    "tflite": ".tflite",
    "tflite16": ".tflite",
    "tflite8": ".tflite",
    "tf2onnx": ".onnx",
    "tf2onnxchw": ".onnx",
}
KERAS_FORMS = (*_SUFFIXES,)
"""TFLite: float, weights in float16, int8; ONNX by tf2onnx: fed as Keras is, and fed channels first."""


def keras_form(name: str, form: str, folder: Path, seed: int) -> Path:
    """The file of one network in one form; all its forms are built at once, in a process of their own."""
    path = _path(name, form, folder, seed)
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.faults.keras_forms", name, str(folder.resolve()), str(seed)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
        if done.returncode:
            raise RuntimeError(f"{name} was not built:\n{done.stderr[-2000:]}")
    return path


def _path(name: str, form: str, folder: Path, seed: int) -> Path:
    return folder / f"{name}-{seed}-{form}{_SUFFIXES[form]}"


def build(network: KerasNetwork, folder: Path, seed: int) -> None:
    """Write every form; a file appears when it is complete."""
    import tensorflow as tf

    model = network.model(seed)
    with tempfile.TemporaryDirectory() as saved:  # freezes the variables; a concrete function would not
        model.export(saved, verbose=False)
        for form, content in _tflite(tf, saved, network, seed):
            _lay_down(_path(network.name, form, folder, seed), lambda path, content=content: path.write_bytes(content))
    for form in ("tf2onnx", "tf2onnxchw") if len(network.shape) == 4 else ("tf2onnx",):
        path = _path(network.name, form, folder, seed)
        _lay_down(path, lambda partial, form=form: _onnx(tf, model, network, form, partial))


def _lay_down(path: Path, write: Callable[[Path], Any]) -> None:
    partial = path.with_name(f"partial-{path.name}")
    write(partial)
    partial.rename(path)


def _tflite(tf: Any, saved: str, network: KerasNetwork, seed: int) -> Any:
    def converter() -> Any:
        return tf.lite.TFLiteConverter.from_saved_model(saved)

    yield "tflite", converter().convert()
    half = converter()
    half.optimizations, half.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    yield "tflite16", half.convert()
    integer = converter()
    integer.optimizations = [tf.lite.Optimize.DEFAULT]
    integer.representative_dataset = lambda: ([*network.feeds(seed + extra).values()] for extra in range(8))
    yield "tflite8", integer.convert()


def _onnx(tf: Any, model: Any, network: KerasNetwork, form: str, path: Path) -> None:
    import tf2onnx

    signature = [tf.TensorSpec(network.shape, tf.float32, name=network.input)]
    first = [network.input] if form == "tf2onnxchw" else None
    tf2onnx.convert.from_function(
        tf.function(model, input_signature=signature),
        input_signature=signature,
        opset=OPSET,
        inputs_as_nchw=first,
        output_path=str(path),
    )


if __name__ == "__main__":
    build(KERAS_NETWORKS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3]))
