"""Pairs of real models: one trained model in several files, one architecture from several exporters."""

from __future__ import annotations

import gc
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OTHER_NUMBERS = ("quant", "int8", "qdq", "fp16", "float16", "test_data")
"""Words in the names of files that hold their model in fewer bits, which is no clean pair with the full one."""
SUFFIXES = {".onnx", ".tflite", ".pt", ".jit"}
EXPORTS = (
    ("eager", "trace"),
    ("eager", "onnx"),
    ("eager", "dynamo"),
    ("trace", "onnx"),
    ("onnx", "dynamo"),
    ("folded", "trace"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    name: str
    models: Callable[[], tuple[Any, Any]]
    feeds: Callable[[], Any]


def table(data: Path | None) -> int:
    """Compare them all and print a row each; 1 where one is diverged."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="converters") as folder:
        for pair in itertools.chain(_files(data) if data else (), _exports(Path(folder))):
            began = time.perf_counter()
            verdict, why = _verdict(pair)
            rows.append(verdict)
            print(f"{verdict:12} {time.perf_counter() - began:5.1f} s  {pair.name}{why and '  ' + why}", flush=True)
            gc.collect()
    print(f"{len(rows)} pairs: " + ", ".join(f"{rows.count(each)} {each}" for each in sorted(set(rows))))
    return int("diverged" in rows)


def _verdict(pair: Pair) -> tuple[str, str]:
    import aligner
    from aligner.errors import AlignerError

    try:
        reference, candidate = pair.models()
        report = aligner.compare(reference, candidate, pair.feeds()).to_json()
    except AlignerError as error:
        return "refused", str(error).replace("\n", " ")[:160]
    except Exception as error:  # noqa: BLE001 - an exporter that fails makes no pair, anything else is to be seen
        return "crashed", f"{type(error).__name__}: {str(error)[:160]}"
    return report["verdict"], report["reason"] if report["verdict"] != "aligned" else ""


def _files(data: Path) -> Iterator[Pair]:
    """Every two files of a folder that hold the same numbers."""
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
        found = [path for path in found if not any(word in str(path.relative_to(data)) for word in OTHER_NUMBERS)]
        if folder.name == "stress":
            continue
        for one, other in (pair for models in _by_model(found) for pair in itertools.permutations(models, 2)):
            yield Pair(
                f"{folder.name}: {one.name} ↔ {other.name}",
                lambda one=one, other=other: (str(one), str(other)),
                lambda one=one, other=other: _fitting(data / "inputs", one, other),
            )


def _by_model(files: list[Path]) -> list[list[Path]]:
    """Files of one model: those of one name before the first dot, where that makes groups of two and more of all."""
    named: dict[str, list[Path]] = {}
    for path in files:
        named.setdefault(path.name.partition(".")[0], []).append(path)
    return [*named.values()] if all(len(group) > 1 for group in named.values()) else [files]


def _fitting(inputs: Path, *models: Path) -> Any:
    """A recorded input of a size that one of the models declares; None, which feeds random numbers, without one."""
    import aligner

    sizes = set()
    for path in models:
        try:
            signature = aligner.inspect(str(path)).signature
        except Exception:  # noqa: BLE001 - a model that does not say what it takes
            continue
        shapes = [each.shape or () for each in signature.inputs]
        sizes |= {tuple(sorted(shape)) for shape in shapes if None not in shape}
    for path in sorted(inputs.glob("*.npy")):
        if tuple(sorted(np.load(path, mmap_mode="r").shape)) in sizes:
            return str(path)
    return None


def _exports(folder: Path) -> Iterator[Pair]:
    from benchmarks.faults.architectures import ARCHITECTURES
    from benchmarks.faults.forms import build_form

    def model(name: str, form: str) -> Any:
        return ARCHITECTURES[name].module(1) if form == "eager" else str(build_form(name, form, folder, 1))

    for name, architecture in ARCHITECTURES.items():
        for one, other in EXPORTS:
            if {one, other} & set(architecture.lacks):
                continue
            yield Pair(
                f"{name}: {one} ↔ {other}",
                lambda name=name, one=one, other=other: (model(name, one), model(name, other)),
                lambda architecture=architecture: _by_place(architecture.feeds(1)),
            )


def _by_place(feeds: dict[str, np.ndarray]) -> Any:
    """One input as it is: not every form calls it by the architecture's name."""
    return [*feeds.values()] if len(feeds) == 1 else feeds
