"""What a failing test leaves behind: its inputs, the command that repeats it, reports in other formats."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.target import parse_target
from aligner.errors import AlignerError
from aligner.records.comparison import Comparison
from aligner.records.dataclass import dataclass
from aligner.testing.contract import Contract

Facts = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Places:
    """Where files go; every name begins with ``stem``. ``rerun`` repeats the test: ``pytest 'test_x.py::test_y'``."""

    stem: str
    scratch: Callable[[], Path]
    """The folder of the inputs where neither ``html`` nor ``json`` names one; made when asked for."""
    html: Path | None = None
    json: Path | None = None
    rerun: str | None = None


def write_reports(comparison: Comparison, places: Places) -> Facts:
    """Write what was asked for; a report that cannot be written is said, and hides no failure."""
    writers = (("html", places.html, _write_html), ("json", places.json, _write_json))
    facts: Facts = []
    for suffix, folder, write in writers:
        if folder is None:
            continue
        path = folder / f"{places.stem}.{suffix}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(comparison, path)
            facts.append((suffix, str(path)))
        except (AlignerError, OSError, ModuleNotFoundError) as error:
            facts.append((suffix, f"not written: {_first_line(error)}"))
    return facts


def _write_html(comparison: Comparison, path: Path) -> None:
    from aligner.report.html import write_html

    write_html(comparison, path)


def _write_json(comparison: Comparison, path: Path) -> None:
    from aligner.report.json_document import write_json

    write_json(comparison, path)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@dataclass(frozen=True, slots=True)
class SavedInputs:
    """``words`` feed the same again on the command line, None where they cannot; ``fact`` says where the data lies."""

    words: tuple[str, ...] | None
    fact: str | None = None


def save_inputs(inputs: Any, places: Places) -> SavedInputs:
    """Write the arrays that a test fed to .npz files; paths and plain numbers are fed as they are."""
    try:
        return _save(inputs, places)
    except (AlignerError, OSError, ValueError) as error:
        return SavedInputs(None, f"not written: {_first_line(error)}")


def _save(inputs: Any, places: Places) -> SavedInputs:
    from aligner.api.given_inputs import input_items

    words: list[str] = []
    arrays: dict[str, dict[str, Any]] = {}
    for item in input_items(inputs):
        name = ".".join(part for part in (item.side, item.name) if part)
        start = f"{name}=" if name else ""
        if isinstance(item.value, Path | str) or (name and isinstance(item.value, bool | int | float)):
            words += ["--input", f"{start}{item.value}"]
        else:
            group = arrays.setdefault(item.side or "", {})
            group[item.name or f"arr_{len(group)}"] = _array(item.value)
    written = [(side, group, _write_arrays(side, group, places)) for side, group in arrays.items()]
    for side, group, path in written:
        words += [word for name in group for word in ("--input", f"{side}.{name}={path}")] if side else []
        words += [] if side else ["--input", str(path)]
    return SavedInputs(tuple(words), ", ".join(str(path) for _, _, path in written) or None)


def _array(value: Any) -> Any:
    from aligner.inputs.value import plain_array

    array = plain_array(np.asarray(value) if type(value).__module__.startswith("PIL.") else value, "the input")
    return array.astype(np.str_) if array.dtype.kind == "O" else array


def _write_arrays(side: str, arrays: Mapping[str, Any], places: Places) -> Path:
    folder = places.html or places.json or places.scratch()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".".join(part for part in (places.stem, side, "npz") if part)
    np.savez(path, **arrays)
    return path


def command(reference: object, candidate: object, saved: SavedInputs, contract: Contract, places: Places) -> str | None:
    """What repeats the comparison: ``align compare`` where both models are files or factories, else the test."""
    words = _options(contract.compare_options)
    models = [_word(model) for model in (reference, candidate)]
    if None in models or saved.words is None or words is None:
        return places.rerun
    asked = ["--atol", f"{contract.atol:g}", "--rtol", f"{contract.rtol:g}", "--level", contract.level]
    return shlex.join(["align", "compare", *map(str, models), *saved.words, *asked, *words])


def _word(model: object) -> str | None:
    value = parse_target(model).value
    return str(value) if isinstance(value, str | Path) else None


_FLAGS = (
    "tolerance align_by local reference_weights candidate_weights provider ort_optimization signature device seed "
    "memory_limit"
).split()
"""Options that the command line spells alike."""
_SWITCHES = {("trust", True): "--trust", ("evaluation_mode", True): "--eval", ("evaluation_mode", False): "--as-is"}


def _options(given: Mapping[str, Any]) -> list[str] | None:
    """The command line's words for options of ``compare``; None where one cannot be written there."""
    words: list[str] = []
    for name, value in given.items():
        if value is None or name == "isolated" or (name, value) == ("trust", False):
            continue  # the command is isolated as it is
        if name == "preprocessing":
            words += _preprocessing(value)
        elif name == "settings":
            words += [word for switch, one in value.items() for word in ("--setting", f"{switch}={one}")]
        elif name in ("trust", "evaluation_mode"):
            words.append(_SWITCHES[name, bool(value)])
        elif name in (*_FLAGS, "mapping") and isinstance(value, str | int | float | Path):
            words += ["--map" if name == "mapping" else f"--{name.replace('_', '-')}", str(value)]
        else:
            return None
    return words


def _preprocessing(value: Any) -> Iterator[str]:
    for item in fields(value):
        given = getattr(value, item.name)
        if given is not None:
            yield f"--{item.name}"
            yield _joined(given, "x" if item.name == "size" else ",")


def _joined(given: Any, sign: str) -> str:
    return sign.join(map(str, given)) if isinstance(given, Sequence) and not isinstance(given, str) else str(given)
