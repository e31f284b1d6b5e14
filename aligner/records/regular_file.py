"""Reading a small file that somebody named: a device or a pipe would never end."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST_TEXT = 1 << 28
"""Bytes of a report or a mapping that is read; a report of 100,000 pairs with previews takes a fifth of it."""


def read_regular(path: Path, most: int = LARGEST_TEXT) -> bytes:
    """The file's bytes. Raises OSError where it is no regular file, is too large, or cannot be read."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(f"{path} is a folder")
        if not stat.S_ISREG(state.st_mode):
            raise OSError(f"{path} is a pipe or a device, not a file")
        if state.st_size > most:
            raise OSError(f"{path} is too large: {state.st_size:,} bytes, more than {most:,}")
        return file.read(most)
