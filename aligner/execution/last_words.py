"""What a process printed before it died, fit to be shown."""

from __future__ import annotations

import os
from pathlib import Path

_TAIL_BYTES = 16 * 1024
"""Of what a process has written before it died; the last lines are what is looked for."""


def tail(path: Path, count: int = 6) -> list[str]:
    """Return the last lines of what was swallowed, without blank ones and control characters."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [printable(line).rstrip() for line in text.replace("\r", "\n").split("\n")]
    return [line[:300] for line in lines if line.strip()][-count:]


def printable(text: str) -> str:
    """Replace control characters, which could move the cursor or recolour the terminal; keep line ends."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
