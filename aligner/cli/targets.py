"""What a command is about to write, held against what it reads: no output takes the place of an input or another."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aligner.adapters.home_folders import HOME_VARIABLES
from aligner.cli.report_options import FORMATS
from aligner.errors import OutputError, listing

if TYPE_CHECKING:
    from aligner.execution.confinement import Bounds

_OUTPUTS = {
    "json_file": "--json",
    "save_map": "--save-map",
    "output": "--output",
    **{name: form.option for name, form in FORMATS.items()},
    "recorder": "--recorder",
    "worst_folder": "--worst",
}
"""Parameters that name a file or folder to be written; every other one that names a file is read."""
_FOLDERS = ("recorder", "worst_folder")
"""Those of folders that are made where they are missing."""
_NOT_TEXT = {_OUTPUTS[name] for name in ("output", *_FOLDERS)}
"""Options of what is no report: who writes it looks at its place."""


_DEFAULT_SECONDS = 3600.0
"""An hour, after which a stranger's model is stopped."""
_MODELS = ("reference", "candidate", "model", "dump_of", "prefill", "dataset")
_child: Path | None = None
_limits: Bounds | None = None


class FileCommand(click.Command):
    """A command that looks at its files before it works, and gives up all others where it has a process of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Also says what to do where there are files too many, as of a pattern that the shell has spread."""
        ctx.allow_extra_args = True
        rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            several = "put it in quotes" if "samples" in ctx.params else "repeat the option for each file"
            spread = all(Path(word).exists() for word in rest)
            hint = f"; an option takes one file: where the shell has spread a pattern, {several}" if spread else ""
            ctx.fail(f"{'arguments' if len(rest) > 1 else 'an argument'} too many: {listing(rest)}{hint}")
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        global _limits
        seconds = ctx.params.pop("timeout", None)
        memory = ctx.params.pop("process_memory", None)
        check_targets(ctx.params)
        if _child is not None:
            from aligner.execution.confinement import confine

            _limits = bounds(ctx.params, _child, _DEFAULT_SECONDS if seconds is None else seconds, memory)
            if _limits.files:
                os.environ |= dict.fromkeys(HOME_VARIABLES, str(_child))
            confine(replace(_limits, network=_limits.network and not ctx.params.get("dask")))
        return super().invoke(ctx)


def outputs_of() -> frozenset[str]:
    """Parameters that name a file to be written."""
    return frozenset(_OUTPUTS)


def limits() -> Bounds | None:
    """What this command's files are opened within; None where it has no process of its own."""
    return _limits


def confine_in(scratch: Path | None) -> None:
    """Confine the command's files from now on: this process is its own, and its scratch folder that one."""
    global _child
    _child = scratch


def bounds(given: Mapping[str, Any], scratch: Path, seconds: float, memory: int | None) -> Bounds:
    """What the command needs: its inputs, the folders of its outputs, and no network."""
    from aligner.execution.needs import needed

    writes = [_resolved(path).parent for _, path in _outputs(given)]
    if os.environ.get("GITHUB_STEP_SUMMARY"):
        writes.append(Path(os.environ["GITHUB_STEP_SUMMARY"]).parent)
    found = needed(
        _models(given),
        _read(given),
        (scratch, *writes),
        trust=bool(given.get("trust")),
        device=given.get("device"),
        provider=given.get("provider"),
    )
    return replace(found, memory=memory or found.memory, seconds=seconds or None)


def _models(given: Mapping[str, Any]) -> list[str]:
    return [word for name in _MODELS for word in _words(given.get(name))]


def _read(given: Mapping[str, Any]) -> list[Any]:
    """What the parameters say of files, but for those that are written."""
    return [value for name, value in given.items() if name not in _OUTPUTS]


def _words(value: Any) -> Iterator[str]:
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, (str, Path)):
            yield str(item).split("=", 1)[-1] if str(item).startswith(("reference=", "candidate=")) else str(item)


def check_targets(given: Mapping[str, Any]) -> None:
    """Raise OutputError where an output is one of the inputs, or lies in one, or two outputs are one file or stream.

    Or where a report cannot be written, or something that is to be a folder cannot be one.
    """
    from aligner.execution.needs import input_files, input_folders
    from aligner.report.document_file import check_writable

    taking = [option for name, option in _OUTPUTS.items() if given.get(name) == "-" and option not in _NOT_TEXT]
    if len(taking) > 1:
        raise OutputError(
            f"{taking[0]} and {taking[1]} both ask for standard output",
            found="one document would follow the other",
            hint="name a file for one of them",
        )
    read = {_same(_resolved(path)): path for path in input_files(_read(given))}
    folders = {_resolved(path): path for path in input_folders(_models(given), _read(given))}
    for name in _FOLDERS:
        if given.get(name):
            _check_folder(_OUTPUTS[name], Path(given[name]))
    pages = Path(given["worst_folder"]).absolute() if given.get("worst_folder") else None
    written: dict[object, str] = {}
    for option, path in _outputs(given):
        if path.absolute().parent == pages:
            reason = "the folder of --worst, which holds its pages alone"
            raise OutputError(f"cannot write {path}", found=reason, hint="name a file elsewhere")
        _check_unread(option, path, read, folders)
        resolved = _resolved(path)
        place = _same(resolved)
        if place in written:
            raise OutputError(
                f"{option} and {written[place]} name one file",
                found=f"{path}: one would overwrite the other",
                hint="name a file for each",
            )
        if option not in _NOT_TEXT:
            check_writable(path)
        if not _is_device(resolved):
            written[place] = option


def _check_unread(option: str, path: Path, read: Mapping[object, Path], folders: Mapping[Path, Path]) -> None:
    """Refuse what is read, or lies in a folder that is."""
    resolved = _resolved(path)
    within = next((folders[around] for around in resolved.parents if around in folders), None)
    if within is not None and resolved.exists():
        found = f"{path} lies in {within}, which is read"
    elif _same(resolved) in read:
        found = f"{path} is the same file as the input {read[_same(resolved)]}"
    else:
        return
    raise OutputError(f"{option} would overwrite what is read", found=found, hint="name another file")


def _check_folder(option: str, path: Path) -> None:
    there = next((place for place in (path, *path.parents) if os.path.lexists(place)), Path())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OutputError(
            f"{option} cannot be written",
            found=f"{there} is " + ("a folder that you may not write to" if there.is_dir() else "no folder"),
            hint="name a new folder, or one of yours",
        )


def _same(path: Path) -> object:
    """What two names of one file share: where letters' case means nothing, or a folder is mounted twice."""
    with suppress(OSError, ValueError):
        state = path.stat()
        if state.st_ino:
            return state.st_dev, state.st_ino
    return path


def _outputs(given: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    for name, option in _OUTPUTS.items():
        target = given.get(name)
        if not target or str(target) == "-":
            continue
        yield option, Path(target)
        if name == "model_explorer_file":
            from aligner.report.model_explorer import beside

            yield f"{option} (accumulated errors)", beside(Path(target))


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
