"""Command lines from seeds: every option with values that nobody meant, every target that may be taken already."""

from __future__ import annotations

from pathlib import Path
from random import Random

_VALUES = (
    "",
    "-",
    "-1",
    "0",
    "1e400",
    "nan",
    "inf",
    "a.onnx",
    "missing",
    "../x",
    "/",
    ".",
    "\x1b[31m",
    "x=y",
    "=",
    ":",
    "9" * 40,
)
_TARGETS = (
    "o.x",
    "a.onnx",
    "b.onnx",
    "x.npy",
    "./a.onnx",
    "no/where",
    ".",
    "",
    "r.json",
    "map.csv",
    "/dev/null",
    "\x1b",
)
_WRITES = ("--json", "--html", "--csv", "--markdown", "--junit", "--sarif", "--model-explorer", "--save-map")
_TAKES = (
    *("--size", "--mean", "--std", "--scale", "--color", "--layout", "--dtype", "--seed", "--provider", "--device"),
    *("--ort-optimization", "--memory-limit", "--timeout", "--process-memory", "--atol", "--rtol", "--tolerance"),
    *("--map", "--align-by", "--local", "--filter", "--sort", "--reference-weights", "--candidate-weights", "-i"),
)
_FILES = ("a.onnx", "b.onnx", "x.npy", "r.json", "map.csv", "missing.onnx", ".", "", "a.onnx:f", "x=a.onnx")


def write_files(folder: Path) -> None:
    """Two models, an input, a report, a mapping."""
    import numpy as np

    from benchmarks.fuzz.subjects import _onnx, _report

    if not _CACHE:
        _CACHE.update({"a.onnx": _onnx(), "r.json": _report(_onnx()), "map.csv": b"y,y\n"})
        _CACHE["b.onnx"] = _CACHE["a.onnx"]
    for name, content in _CACHE.items():
        (folder / name).write_bytes(content)
    np.save(folder / "x.npy", np.ones((1, 3, 8, 8), np.float32))
    (folder / "tmp").mkdir(exist_ok=True)


_CACHE: dict[str, bytes] = {}


def command_lines(seed: int) -> list[str]:
    """One command with a few options."""
    random = Random(f"command:{seed}")
    command = random.choice(("compare", "compare", "compare", "match", "weights", "inspect", "capture", "report"))
    models = {"compare": 2, "match": 2, "weights": 2}.get(command, 1)
    usual = ("r.json",) if command == "report" else ("a.onnx", "b.onnx")
    words = [command, *(random.choice((*usual, *usual, *usual, *_FILES)) for _ in range(models))]
    for _ in range(random.choice((0, 1, 1, 2, 3))):
        if random.random() < 0.5:
            words += [random.choice(_WRITES), random.choice(_TARGETS)]
        else:
            words += [random.choice(_TAKES), random.choice((*_VALUES, *_FILES))]
    return words + (["-o", random.choice(_TARGETS)] if command == "capture" else [])
