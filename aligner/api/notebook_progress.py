"""A progress bar under a notebook's cell, for anything that takes longer than a second; nothing anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from aligner.records import progress

_PATIENCE, _PAUSE = 1.0, 0.2
"""Seconds before it appears, and between two updates."""


class NotebookProgress:
    """Follows the marks of ``aligner.records.progress``; what it leaves in the saved notebook is empty.

    Needs no widgets: it is a display that is updated in place, which notebook, lab, VS Code and nbclient all know.
    """

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._patience = patience
        self._stop: Callable[[], None] | None = None
        self._shown: Any = None

    def __enter__(self) -> NotebookProgress:
        if in_notebook():
            self._due = time.monotonic() + self._patience
            self._stop = progress.listen(self._show)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stop is not None:
            self._stop()
            self._stop = None
        if self._shown is not None:
            self._shown.update({"text/plain": ""}, raw=True)
            self._shown = None

    def _show(self, mark: progress.Mark) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _PAUSE
        if self._shown is None:
            from IPython.display import display

            self._shown = display(drawn(mark), raw=True, display_id=True)
        else:
            self._shown.update(drawn(mark), raw=True)


def in_notebook() -> bool:
    """Whether this code runs in a kernel; a terminal's IPython is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def drawn(mark: progress.Mark) -> dict[str, str]:
    """A mark as a bar; one without an end where it is not known how much there is to do."""
    words = " ".join(part for part in (mark.phase, mark.side) if part)
    much = f" {mark.done:,} of {mark.total:,}" if mark.total else ""
    bar = f'<progress value="{mark.done}" max="{mark.total}"></progress>' if mark.total else "<progress></progress>"
    return {"text/html": f"{bar} {escape(words)}{much}", "text/plain": words + much}
