"""Command lines from seeds: every option with values that nobody meant, every target that may be taken already."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
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
    "n=1,3",
    "batch=0",
    "x:2=4,8",
    "precision,runs",
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
    "shards",
    "shards/a.safetensors",
    "m.bin",
)
_FILES = (
    *("a.onnx", "b.onnx", "x.npy", "r.json", "map.csv", "rec.npz", "dump", "missing.onnx", ".", "", "a.onnx:f"),
    *("x=a.onnx", "x=x.npy", "reference.x=x.npy", "candidate=a.onnx", "x=[[1]]", "1.5"),
    *("ids.json", "tokens.json", "shards", "h.onnx", "m.param", "g.gguf"),
)
_USUAL = {"report": ("r.json",), "explain": ("weight_layout", "nothing"), "completion": ("bash", "tcsh")}
_MODELS = ("a.onnx", "b.onnx", "a.onnx", "b.onnx", "rec.npz", "dump", "d.onnx", "h.onnx", "m.param", "shards", "g.gguf")
_DECODED = (["--steps", "2"], ["--shapes", "n=1,3"], ["--steps", "1", "--prompt", "a b", "--tokenizer", "tokens.json"])
"""What a decoder is compared with."""
_DATA = Path(__file__).resolve().parents[2] / "tests" / "data"
_LEFT_OUT = frozenset(("help", "timeout", "process_memory"))
"""Options of the whole, and those of bounds that these cases have already."""


def write_files(folder: Path) -> None:
    """Models, a decoder, names that are escape codes, weights, an input, a report, a mapping, a recording, a dump."""
    import numpy as np

    from benchmarks.fuzz import whole_files as whole

    if not _CACHE:
        _CACHE.update({"a.onnx": whole.onnx(), "b.onnx": whole.onnx(), "r.json": whole.report(), "map.csv": b"y,y\n"})
        _CACHE.update({"d.onnx": whole.decoder(), "ids.json": b"[[1, 2, 3]]"})
        _CACHE["h.onnx"] = (_DATA / "hostile" / "hostile_names.onnx").read_bytes()
        _CACHE.update({f"shards/{name}": data for name, data in whole.shards("\x1b[31m").items()})
        if find_spec("tokenizers"):
            _CACHE["tokens.json"] = whole.tokenizer()
        if find_spec("gguf"):
            _CACHE["g.gguf"] = whole.gguf("\x1b[31m")
        if find_spec("ncnn"):
            _CACHE.update({f"m{Path(name).suffix}": data for name, data in whole.ncnn("\x1b[31m").items()})
    (folder / "shards").mkdir()
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
    if len(arguments) == 2 and random.random() < 0.5:
        words[2] = words[1]
    if name == "compare" and "d.onnx" in words and random.random() < 0.7:
        words += [*random.choice(_DECODED), "-i", "ids.json"][: random.choice((-2, None))]
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
