"""Files on their way: under a name of their own until they are whole, and deleted where the one who wrote them died."""

from __future__ import annotations

import os
import re
from pathlib import Path

from aligner.records import progress

_NAME = re.compile(r"\..*\.\d+\.part(\.\w+)?", re.DOTALL)


def partial_of(final: Path, *, suffix: str = "") -> Path:
    """The name, beside the final one, under which this process writes; a supervisor deletes it if we die."""
    found = final.with_name(f".{final.name[:200]}.{os.getpid()}.part{suffix}")
    progress.unfinished(str(found.absolute()))
    return found


def delete(path: Path) -> None:
    """Delete what a dead process left, and no other file: a hostile one may have named any before it died."""
    if _NAME.fullmatch(path.name) is None:
        return
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a folder, or out of reach
        if path.is_dir() and not path.is_symlink():
            import shutil

            shutil.rmtree(path, ignore_errors=True)
