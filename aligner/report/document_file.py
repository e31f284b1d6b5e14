"""A document on its way to a file or a stream: whole, or not at all."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from aligner.errors import OutputError
from aligner.records.partial import partial_of


def write_document(document: Mapping[str, Any], target: Path | TextIO) -> None:
    """Write the document to a file, atomically, or to an open stream.

    A regular file is replaced only when the whole text lies beside it; a device or a pipe is written directly.
    The text is ASCII, so that no locale changes it; each key, and each item of a list, has a line of its own. Raises
    OutputError where the target cannot be written.
    """
    keys = (f" {json.dumps(key)}: {_value(value)}" for key, value in document.items())
    write_text("{\n" + ",\n".join(keys) + "\n}\n", target)


def _value(value: Any) -> str:
    """JSON without indentation is written by a C encoder, twice as fast."""
    if isinstance(value, list) and value:
        return "[\n  " + ",\n  ".join(json.dumps(item, allow_nan=False) for item in value) + "\n ]"
    return json.dumps(value, allow_nan=False)


def write_text(text: str, target: Path | TextIO) -> None:
    """Write a text as it is, UTF-8 in a file, in the same way as ``write_document``."""
    if not isinstance(target, Path):
        encoding = getattr(target, "encoding", None) or "utf-8"
        if getattr(target, "isatty", bool)():
            from aligner.report.page import visible

            text = "\n".join(visible(line) for line in text.split("\n"))
        target.write(text.encode(encoding, "backslashreplace").decode(encoding))
        target.flush()
        return
    try:
        _write_file(text.encode("utf-8", "backslashreplace"), target)
    except (OSError, ValueError, RuntimeError) as exc:  # a NUL in the path; a loop of links
        raise OutputError.of(
            f"cannot write {target}",
            exc,
            "name a file in an existing folder that you may write to, or - for standard output",
        ) from exc


def check_writable(target: Path) -> None:
    """Find out before the work, not after it, whether a report can be written there.

    Raises OutputError; leaves nothing behind.
    """
    folder = target.parent
    problem = None
    if target.is_dir():
        problem = "it is a folder"
    elif not folder.is_dir():
        problem = f"there is no folder {folder}"
    elif not os.access(target if target.exists() else folder, os.W_OK):
        problem = "no permission to write there"
    elif _holds_no_text(target):
        problem = "a file is there already that is no text: a model, or what belongs to one"
    if problem:
        raise OutputError(
            f"cannot write {target}",
            found=problem,
            hint="name a file in an existing folder that you may write to, or - for standard output",
        )


def _holds_no_text(target: Path) -> bool:
    """Whether a file holds what no report does; a model's weights may lie in a file that no option names."""
    if not target.is_file():
        return False
    try:
        with target.open("rb") as file:
            return b"\0" in file.read(4096)
    except OSError:
        return False


def _write_file(data: bytes, target: Path) -> None:
    final = target.resolve()  # a link stays a link; what it points to is replaced
    mode = final.stat().st_mode if final.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        with final.open("wb") as stream:
            stream.write(data)
        return
    partial = partial_of(final)
    try:
        with partial.open("xb") as stream:
            stream.write(data)
        if mode is not None:
            partial.chmod(stat.S_IMODE(mode))
        partial.replace(final)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
