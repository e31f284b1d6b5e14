"""What a command is about to write, held against what it reads: no output takes the place of an input or another."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from aligner.errors import OutputError

_OUTPUTS = {
    "json_file": "--json",
    "save_map": "--save-map",
    "output": "--output",
    "html_file": "--html",
    "csv_file": "--csv",
    "markdown_file": "--markdown",
    "junit_file": "--junit",
    "sarif_file": "--sarif",
    "model_explorer_file": "--model-explorer",
}
"""Parameters that name a file to be written; every other one that names a file is read."""


class FileCommand(click.Command):
    """A command that looks at its files before it works."""

    def invoke(self, ctx: click.Context) -> Any:
        check_targets(ctx.params)
        return super().invoke(ctx)


def check_targets(given: Mapping[str, Any]) -> None:
    """Raise OutputError where an output is one of the inputs, or two outputs are one file."""
    written: dict[Path, str] = {}
    read = {_resolved(path): path for path in _inputs(given)}
    for option, path in _outputs(given):
        place = _resolved(path)
        if place in read:
            raise OutputError(
                f"{option} would overwrite what is read",
                found=f"{path} is the same file as the input {read[place]}",
                hint="name another file",
            )
        if place in written:
            raise OutputError(
                f"{option} and {written[place]} name one file",
                found=f"{path}: one would overwrite the other",
                hint="name a file for each",
            )
        if not _is_device(place):
            written[place] = option


def _outputs(given: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for name, option in _OUTPUTS.items():
        target = given.get(name)
        if not target or str(target) == "-":
            continue
        yield option, Path(target)
        if name == "model_explorer_file":
            from aligner.report.model_explorer import beside

            yield f"{option} (accumulated errors)", beside(Path(target))


def _inputs(given: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in given.items():
        if name not in _OUTPUTS:
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, (str, Path)):
                    yield from _files(str(item))


def _files(word: str) -> Iterator[Path]:
    """The files that a word may mean: itself, what follows NAME=, what precedes :factory."""
    for text in (word, word.split("=", 1)[-1], word.rsplit(":", 1)[0]):
        with suppress(OSError, ValueError):
            if text and Path(text).is_file():
                yield Path(text)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL
        raise OutputError(
            f"{path} cannot be written", found=str(error), hint="name a file in an existing folder"
        ) from error


def _is_device(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False
