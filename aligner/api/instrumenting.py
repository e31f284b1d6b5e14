"""instrument(): a model file that shows its intermediates wherever it runs."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from aligner.adapters.base import Instrumented
from aligner.adapters.registry import find_adapter
from aligner.adapters.target import real_path
from aligner.errors import OutputError
from aligner.records import progress
from aligner.records.partial import partial_of

RECORDERS = ("aligner_record.hpp", "aligner_record.mjs")
"""What programs on the other side record with: one C++ header, one JavaScript module."""


def instrument(
    model: Path | str, output: Path | str, observe: Sequence[str] = (), *, trust: bool = False
) -> Instrumented:
    """Write ``model`` to ``output`` with its inner tensors among its outputs.

    ``observe`` are names or patterns ("*conv*"); none: everything that can be shown. ``trust`` lets the file run code.
    Raises AlignerError where the format cannot, a pattern finds nothing, or the file cannot be written.
    """
    target = Path(output)
    if real_path(target) == real_path(Path(model)):
        raise OutputError(f"cannot write {target}", found="the model itself", hint="name another file")
    progress.enter("model", "instrumenting", str(model))
    try:
        with _whole(target) as partial:
            return find_adapter(model).instrument(model, partial, tuple(observe), trust=trust)
    except OSError as error:
        raise OutputError.of(
            f"cannot write {target}",
            error,
            "name a file in an existing folder that you may write to, with enough free space",
        ) from error


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A file beside the target, which takes its place when the block ends well."""
    final = real_path(target)
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    partial = partial_of(final, suffix=final.suffix)
    try:
        yield partial
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def write_recorders(folder: Path) -> list[Path]:
    """Copy the recorders into a folder, for a program on the other side to use.

    Raises OutputError where they cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in RECORDERS:
            with resources.as_file(resources.files("aligner.recorders") / name) as source:
                written.append(Path(shutil.copyfile(source, folder / name)))
    except OSError as error:
        raise OutputError.of(f"cannot write the recorders into {folder}", error, "name another folder") from error
    return written
