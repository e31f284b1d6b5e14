"""Pairs of real models: one trained model in several files, one architecture from several exporters."""

from __future__ import annotations

import gc
import itertools
import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.converters.plain import apart

CLEAN = 2e-5
"""Outputs of a clean pair, run plainly, differ by no more than this share of their peak: atol + rtol as they are given
by default, at a peak of one."""
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


def table(data: Path | None, *, part: tuple[int, int] = (0, 1), kept: Path | None = None) -> int:
    """Compare them all, or every n-th, and print a row each; 1 where one is diverged, or aligned and is not.

    ``kept`` holds the rows, one JSON document a line: what stands there is not compared again.
    """
    rows = _kept(kept)
    with tempfile.TemporaryDirectory(prefix="converters") as folder:
        for pair in itertools.islice(_pairs(data, Path(folder)), part[0], None, part[1]):
            if pair.name not in rows:
                rows[pair.name] = _row(pair)
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps(rows[pair.name]) + "\n")
            print(_line(rows[pair.name]), flush=True)
            gc.collect()
    print(summary([*rows.values()]))
    return int(any(_wrong(row) for row in rows.values()))


def _kept(path: Path | None) -> dict[str, dict[str, Any]]:
    lines = path.read_text().splitlines() if path and path.exists() else []
    return {row["name"]: row for row in map(json.loads, lines)}


def _pairs(data: Path | None, folder: Path) -> Iterator[Pair]:
    return itertools.chain(_files(data) if data else (), _exports(folder))


def _row(pair: Pair) -> dict[str, Any]:
    began = time.perf_counter()
    verdict, why, off = _verdict(pair)
    return {
        "name": pair.name,
        "verdict": verdict,
        "why": why,
        "apart": off,
        "seconds": round(time.perf_counter() - began, 1),
    }


def _line(row: Mapping[str, Any]) -> str:
    off = "apart by ?" if row["apart"] is None else f"apart by {row['apart']:.0e}"
    return f"{row['verdict']:12} {row['seconds']:5.1f} s  {off:15}  {row['name']}{row['why'] and '  ' + row['why']}"


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """The clean pairs by verdict, and those whose files differ, which are none."""
    groups = {
        "clean": [row for row in rows if not _differs(row)],
        "that differ": [row for row in rows if _differs(row)],
    }
    return "\n".join(
        f"{len(group)} pairs {of}: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counted.items()))
        for of, group in groups.items()
        if (counted := Counter(row["verdict"] for row in group))
    )


def _differs(row: Mapping[str, Any]) -> bool:
    return row["apart"] is not None and row["apart"] > CLEAN


def _wrong(row: Mapping[str, Any]) -> bool:
    return bool(row["verdict"] == ("aligned" if _differs(row) else "diverged"))


def _verdict(pair: Pair) -> tuple[str, str, float | None]:
    import aligner
    from aligner.errors import AlignerError

    off = None
    try:
        reference, candidate = pair.models()
        feeds = pair.feeds()
        off = apart(reference, candidate, _arrays(feeds))
        report = aligner.compare(reference, candidate, feeds).to_json()
    except AlignerError as error:
        return "refused", str(error).replace("\n", " ")[:160], off
    except Exception as error:  # noqa: BLE001 - an exporter that fails makes no pair, anything else is to be seen
        return "crashed", f"{type(error).__name__}: {str(error)[:160]}", off
    return report["verdict"], report["reason"] if report["verdict"] != "aligned" else "", off


def _arrays(feeds: Any) -> dict[str, np.ndarray] | None:
    if isinstance(feeds, str):
        return {"input": np.load(feeds)}
    return {str(place): each for place, each in enumerate(feeds)} if isinstance(feeds, list) else feeds


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
