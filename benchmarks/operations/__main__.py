"""``python -m benchmarks.operations FOLDER …``: every model found, each node replayed; opaque nodes are listed."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.base import OpenOptions, Session
from aligner.adapters.registry import open_model
from aligner.errors import AlignerError
from aligner.testing.operation_conformance import Replay, replay_session

SUFFIXES = frozenset({".onnx", ".tflite", ".pt", ".jit", ".bin"})
_UNKNOWN = 64
"""The size of an axis that the model leaves open, but the first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each model and one for each opaque operator; 1 where a replay is not what ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x128x128")
    options = parser.parse_args(arguments)
    shapes = dict(_shape(text) for text in options.shape)
    total: Counter[str] = Counter()
    opaque: Counter[str] = Counter()
    for path in _models(options.folders):
        try:
            session = open_model(path, OpenOptions(trust=True))
            found = replay_session(session, feeds_of(session, shapes))
            session.close()
        except (AlignerError, TypeError) as error:
            print(f"{path.name}: not run: {str(error).splitlines()[0]}")
            continue
        counted = Counter(map(_word, found))
        total += counted
        opaque.update(one.opaque for one in found if one.opaque)
        print(f"{path.name}: {', '.join(f'{count} {word}' for word, count in sorted(counted.items()))}")
        for one in found:
            if one.fault:
                print(f"    {one.node.name} ({one.node.op}): {one.fault}")
    nodes = sum(total.values())
    print(f"{nodes} nodes: {total['opaque'] / max(nodes, 1):.2%} opaque, {total['wrong']} replayed to other numbers")
    for why, count in opaque.most_common():
        print(f"    {count} × {why}")
    return 1 if total["wrong"] else 0


def _word(one: Replay) -> str:
    return "wrong" if one.fault else "opaque" if one.opaque else "replayed"


def _models(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        found = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        yield from (path for path in found if path.suffix in SUFFIXES and path.is_file())


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.partition("=")
    return name, tuple(int(size) for size in sizes.split("x"))


def feeds_of(session: Session, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray[Any, Any]]:
    """Numbers between 0 and 1, small whole numbers: the same at each call."""
    draw = np.random.default_rng(1)
    feeds: dict[str, np.ndarray[Any, Any]] = {}
    for spec in session.signature.inputs:
        if not spec.required:
            continue
        declared = [size or (_UNKNOWN if place else 1) for place, size in enumerate(spec.shape or ())]
        shape, dtype = shapes.get(spec.name, tuple(declared)), spec.dtype or "float32"
        if "int" in dtype:
            feeds[spec.name] = draw.integers(0, 8, shape).astype(dtype)
        else:
            feeds[spec.name] = draw.uniform(0, 1, shape).astype("float32" if dtype == "string" else dtype)
    return feeds


if __name__ == "__main__":
    raise SystemExit(main())
