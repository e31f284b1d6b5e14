"""Each node of every model found replayed: ``python -m benchmarks.operations FOLDER … | --zoo``."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from aligner.adapters.base import OpenOptions, Session
from aligner.adapters.registry import open_model
from aligner.errors import AlignerError
from aligner.testing.operation_conformance import Replay, replay_session

Array = np.ndarray[Any, Any]

SUFFIXES = frozenset({".onnx", ".tflite", ".pt", ".jit", ".bin"})
_UNKNOWN = 64
"""The size of an axis that the model leaves open, but the first."""


Found = tuple[str, str, "list[Replay] | str"]
"""A model's name and form, and what became of its nodes, or why it did not run."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each model and one for each opaque operator; 1 where a replay is not what ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1x3x128x128")
    parser.add_argument("--zoo", nargs="?", const="", metavar="NAME,NAME", help="architectures of transformers")
    parser.add_argument("--attention", default="eager", help="of the zoo: eager or sdpa")
    parser.add_argument("--table", type=Path, help="write the figures here, as Markdown")
    options = parser.parse_args(arguments)
    found = list(_shown(chain(_of_zoo(options), _of_folders(options))))
    nodes = [one for _, _, replays in found if not isinstance(replays, str) for one in replays]
    total, opaque = Counter(map(_word, nodes)), Counter(one.opaque for one in nodes if one.opaque)
    share = total["opaque"] / max(len(nodes), 1)
    print(f"{len(nodes)} nodes: {share:.2%} opaque, {total['wrong']} replayed to other numbers")
    for why, count in opaque.most_common():
        print(f"    {count} × {why}")
    if options.table:
        options.table.write_text(_table(found))
    return 1 if total["wrong"] else 0


def _shown(found: Iterable[Found]) -> Iterator[Found]:
    for name, form, replays in found:
        if isinstance(replays, str):
            print(f"{name} {form}: not run: {replays}", flush=True)
        else:
            counted = Counter(map(_word, replays))
            print(f"{name} {form}: {', '.join(f'{n} {word}' for word, n in sorted(counted.items()))}", flush=True)
            for one in replays:
                if one.fault:
                    print(f"    {one.node.name} ({one.node.op}): {one.fault}")
        yield name, form, replays


def _of_folders(options: argparse.Namespace) -> Iterator[Found]:
    shapes = dict(_shape(text) for text in options.shape)
    for path in _models(options.folders):
        yield path.name, "", _replayed(path, lambda session: feeds_of(session, shapes))


def _of_zoo(options: argparse.Namespace) -> Iterator[Found]:
    if options.zoo is None:
        return
    from benchmarks.operations.zoo import ARCHITECTURES, forms_of

    for name in options.zoo.split(",") if options.zoo else ARCHITECTURES:
        with TemporaryDirectory() as folder:
            for form, made, inputs in forms_of(name, Path(folder), options.attention):
                if isinstance(made, Exception):
                    yield name, form, f"not exported: {str(made).strip().splitlines()[0]}"
                    continue
                arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
                own = form == "eager"
                yield name, form, _replayed(made, lambda session: arrays if own else _in_order(session, arrays))  # noqa: B023 - called at once


def _in_order(session: Session, arrays: dict[str, Array]) -> dict[str, Array]:
    """Under the names that the exporter gave."""
    return dict(zip([spec.name for spec in session.signature.inputs], arrays.values(), strict=True))


def _replayed(target: Any, feeds: Callable[[Session], dict[str, Array]]) -> list[Replay] | str:
    try:
        session = open_model(target, OpenOptions(trust=True))
        found = replay_session(session, feeds(session))
        session.close()
    except (AlignerError, TypeError) as error:
        return str(error).splitlines()[0]
    return found


def _table(found: list[Found]) -> str:
    """One line for each architecture: nodes of each form, those that are opaque and those that are wrong."""
    forms = list(dict.fromkeys(form for _, form, _ in found))
    lines = [f"| | {' | '.join(forms)} |", f"|---|{'---|' * len(forms)}"]
    for name in dict.fromkeys(name for name, _, _ in found):
        cells = {form: _cell(replays) for each, form, replays in found if each == name}
        lines.append(f"| {name} | {' | '.join(cells.get(form, '') for form in forms)} |")
    return "\n".join(lines) + "\n"


def _cell(replays: list[Replay] | str) -> str:
    if isinstance(replays, str):
        return "—"
    counted = Counter(map(_word, replays))
    flaws = [f"{counted[word]} {word}" for word in ("opaque", "wrong") if counted[word]]
    return ", ".join([str(len(replays)), *flaws])


def _word(one: Replay) -> str:
    return "wrong" if one.fault else "opaque" if one.opaque else "replayed"


def _models(folders: Sequence[Path]) -> Iterator[Path]:
    for folder in folders:
        found = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        yield from (path for path in found if path.suffix in SUFFIXES and path.is_file())


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.partition("=")
    return name, tuple(int(size) for size in sizes.split("x"))


def feeds_of(session: Session, shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Numbers between 0 and 1, small whole numbers: the same at each call."""
    draw = np.random.default_rng(1)
    feeds: dict[str, Array] = {}
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
