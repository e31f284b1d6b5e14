"""Command lines from seeds: every option with values that nobody meant, every target that may be taken already."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import click

_VALUES = (
    "",
    "-",
    "-1",
    "0",
    "1",
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
    "*",
    "9" * 40,
)
_TARGETS = (
    "o.x",
    "o.npz",
    "o.json",
    "a.onnx",
    "b.onnx",
    "x.npy",
    "./a.onnx",
    "no/where",
    ".",
    "",
    "-",
    "r.json",
    "map.csv",
    "dump",
    "/dev/null",
    "\x1b",
)
_FILES = (
    *("a.onnx", "b.onnx", "x.npy", "r.json", "map.csv", "rec.npz", "dump", "missing.onnx", ".", "", "a.onnx:f"),
    *("x=a.onnx", "x=x.npy", "reference.x=x.npy", "candidate=a.onnx", "x=[[1]]", "1.5"),
)
_USUAL = {"report": ("r.json",), "explain": ("weight_layout", "nothing"), "completion": ("bash", "tcsh")}
_MODELS = ("a.onnx", "b.onnx", "a.onnx", "b.onnx", "rec.npz", "dump")
_LEFT_OUT = frozenset(("help", "timeout", "process_memory"))
"""Options of the whole, and those of bounds that these cases have already."""


def write_files(folder: Path) -> None:
    """Two models, an input, a report, a mapping, a recording, a dump."""
    import numpy as np

    from benchmarks.fuzz.whole_files import onnx, report

    if not _CACHE:
        _CACHE.update({"a.onnx": onnx(), "r.json": report(), "map.csv": b"y,y\n"})
        _CACHE["b.onnx"] = _CACHE["a.onnx"]
    for name, content in _CACHE.items():
        (folder / name).write_bytes(content)
    x = np.ones((1, 3, 8, 8), np.float32)
    np.save(folder / "x.npy", x)
    np.savez(folder / "rec.npz", x=x, y=np.ones((1, 2, 8, 8), np.float32))
    (folder / "dump").mkdir()
    np.save(folder / "dump" / "y.npy", np.ones((1, 2, 8, 8), np.float32))
    (folder / "tmp").mkdir(exist_ok=True)


_CACHE: dict[str, bytes] = {}


@cache
def _commands() -> dict[str, click.Command]:
    from aligner.cli.commands import cli

    return {name: command for name, command in sorted(cli.commands.items()) if name != "demo"}


def command_lines(seed: int) -> list[str]:
    """One command with a few options, of those that there are."""
    from aligner.cli.targets import outputs_of

    random = Random(f"command:{seed}")
    name = random.choice((*_commands(), *("compare",) * 9))
    command = _commands()[name]
    words = [name]
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    options = [one for one in command.params if isinstance(one, click.Option) and one.name not in _LEFT_OUT]
    words += [random.choice((*_USUAL.get(name, _MODELS) * 3, *_FILES)) for _ in arguments]
    chosen = random.sample(options, min(len(options), random.choice((0, 1, 1, 2, 3))))
    for option in chosen + [option for option in options if option.required and option not in chosen]:
        words += _given(option, option.name in outputs_of(), random)
    return words


def _given(option: click.Option, written: bool, random: Random) -> list[str]:
    flag = random.choice((*option.opts, *option.secondary_opts))
    if option.is_flag:
        return [flag]
    if written:
        return [flag, random.choice(_TARGETS)]
    choices = tuple(option.type.choices) if isinstance(option.type, click.Choice) else ()
    return [flag, random.choice((*choices, *choices, *_VALUES, *_FILES))]
