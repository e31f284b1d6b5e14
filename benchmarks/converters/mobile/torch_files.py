"""A drawn PyTorch network as files: TorchScript, ONNX, and what onnx2tf makes of that; kept by seed."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from benchmarks.converters.blind.drawing import lived_in
from benchmarks.converters.blind.exporting import by_dynamo, by_trace, quiet, scripted, traced
from benchmarks.converters.mobile import architectures, torch_networks
from benchmarks.faults.onnx2tf_form import VARIABLE

LIMIT = 540
"""Seconds that a converter may take."""
CALIBRATION = 12
TWINS = ("float32", "float16", "dynamic_range_quant", "integer_quant")
_POLYNOMIALS = ("Erf", "GeLU", "HardSwish", "PReLU", "LeakyReLU")
_OPTIONS: tuple[tuple[float, tuple[str, ...]], ...] = (
    (0.2, ("-nuo",)),
    (0.2, ("-dgc",)),
    (0.2, ("-ebu",)),
    (0.3, ("-eru",)),
    (0.2, ("-coion",)),
    (0.15, ("-ofgd",)),
    (0.15, ("-kat", "input_0")),
)
"""With what share of files an option of onnx2tf is used; an Erf is always spelled out, as TFLite has none."""


SOURCES = {"torch": torch_networks.drawn, "architectures": architectures.drawn}


def network(seed: int, source: str = "torch") -> tuple[nn.Module, Tensor]:
    net, image = SOURCES[source](seed)
    return lived_in(net, seed), image


def torch_files(seed: int, folder: Path, source: str = "torch") -> tuple[Path, list[str]]:
    """The folder of a seed, and the options that onnx2tf was given; raises RuntimeError where nothing was made."""
    made = folder / f"{source}-{seed}"
    if not (made / "options.json").exists():
        made.mkdir(parents=True, exist_ok=True)
        _make(seed, made, source)
    options = json.loads((made / "options.json").read_text())
    if "error" in options:
        raise RuntimeError(options["error"])
    return made, options["options"]


def _make(seed: int, folder: Path, source: str) -> None:
    rng = np.random.default_rng([seed, 103])
    net, image = network(seed, source)
    options = ["-rtpo", *(_POLYNOMIALS if rng.random() < 0.3 else _POLYNOMIALS[:1])]
    options += [word for share, words in _OPTIONS if rng.random() < share for word in words]
    with quiet():
        export = by_dynamo if rng.random() < 0.15 else by_trace
        try:
            path = export(net, (image,), folder / "source", rng)
            for form, name in ((traced, "traced"), (scripted, "scripted")):
                form(net, (image,), folder / name, rng)
        except Exception as error:  # noqa: BLE001 - whatever an exporter raises
            (folder / "options.json").write_text(json.dumps({"error": f"{type(error).__name__}: {str(error)[:300]}"}))
            return
    said = convert(path, folder, image.numpy(), options)
    done = {"options": options} if (folder / "float32.tflite").exists() else {"error": said}
    (folder / "options.json").write_text(json.dumps(done))


def convert(source: Path, folder: Path, image: np.ndarray, options: list[str], twins: bool = True) -> str:
    """Have onnx2tf write its files into a folder; what it said."""
    with tempfile.TemporaryDirectory() as work:
        rng = np.random.default_rng(11)
        pictures = np.concatenate([image, *(_other(image, rng) for _ in range(CALIBRATION))])
        np.save(Path(work) / "pictures.npy", channels_last(pictures))
        samples = np.random.default_rng(0).random((20, 128, 128, 3), dtype=np.float32)
        np.save(Path(work) / "calibration_image_sample_data_20x128x128x3_float32.npy", samples)
        _simplified(source, Path(work) / "source.onnx", image)
        command = [os.environ[VARIABLE], "-m", "onnx2tf", "-i", "source.onnx", "-o", "made", "-n", "-osd"]
        if twins and "-kat" not in options:
            mean, deviation = (str(np.full([1] * (image.ndim - 1) + [image.shape[1]], n).tolist()) for n in (0, 1))
            command += ["-oiqt", "-odrqt", "-cind", "input_0", "pictures.npy", mean, deviation]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        try:
            done = subprocess.run(
                [*command, *options],
                cwd=work,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "onnx2tf took too long"
        for kind in TWINS:
            for path in Path(work).glob(f"made/source*_{kind}.tflite"):
                if kind != "integer_quant" or "full" not in path.name:
                    (folder / f"{kind}.tflite").write_bytes(path.read_bytes())
        return (done.stdout + done.stderr)[-500:]


def _simplified(source: Path, path: Path, image: np.ndarray) -> None:
    """What people hand to it: all sizes written, by onnxslim; as it is where that makes nothing."""
    import onnx
    import onnxslim

    model = onnx.load(source)
    try:
        with quiet():
            model = onnxslim.slim(model, input_shapes=[f"input_0:{','.join(map(str, image.shape))}"])
    except Exception:  # noqa: BLE001 - whatever it raises
        model = onnx.load(source)
    onnx.save(model, path)


def channels_last(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _other(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another picture of the same kind."""
    return rng.random(image.shape).astype(np.float32)
