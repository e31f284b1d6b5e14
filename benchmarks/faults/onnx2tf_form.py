"""TFLite by onnx2tf, which has to live in an environment of its own: its Python is named, or the form is left out."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.faults.forms import build_form

VARIABLE = "FAULT_BENCH_ONNX2TF"
"""The environment variable with the Python of that environment."""
ONNX2TF_NETWORKS = ("resnet", "squeeze")
_SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"


def python() -> str | None:
    """The Python that has onnx2tf; None where none is named."""
    return os.environ.get(VARIABLE) or None


def onnx2tf_form(name: str, folder: Path, seed: int) -> Path:
    """The TFLite file that onnx2tf makes of an architecture's ONNX file."""
    path = folder / f"{name}-{seed}-onnx2tf.tflite"
    if path.exists():
        return path
    source = build_form(name, "folded", folder, seed)
    with tempfile.TemporaryDirectory() as work:
        # it tries the model on pictures that it would download, unless they lie in its folder
        np.save(Path(work) / _SAMPLES, np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32))
        command = [python() or "", "-m", "onnx2tf", "-i", str(source.resolve()), "-o", "made", "-n", "-osd"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
        made = Path(work) / "made" / f"{source.stem}_float32.tflite"
        if done.returncode or not made.exists():
            raise RuntimeError(f"onnx2tf made nothing of {source.name}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
        partial = path.with_name(f"partial-{path.name}")
        partial.write_bytes(made.read_bytes())
        partial.rename(path)
    return path


def version() -> str:
    """What is installed there, for the page."""
    code = "from importlib.metadata import version; print(version('onnx2tf'))"
    done = subprocess.run([python() or "", "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "of unknown version"
