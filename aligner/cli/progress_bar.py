"""A progress bar on standard error for anything that takes longer than a second; nothing when it is no terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from aligner.records import progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE = 1.0
"""Seconds that nobody needs a bar for."""


class ProgressBar:
    """Follows the marks of ``aligner.records.progress``; appears after a second, vanishes without a trace."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._stop_listening: Any = None

    def __enter__(self) -> ProgressBar:
        if self._stream.isatty():
            import rich.progress  # noqa: F401 - whose modules import each other: never in two threads at once

            self._stop_listening = progress.listen(self._show)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the bar for good."""
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _show(self, mark: progress.Mark) -> None:
        if self._progress is None:
            if time.monotonic() - self._start < _PATIENCE:
                return
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TimeElapsedColumn(),
                console=Console(file=self._stream),
                transient=True,
            )
            self._task = self._progress.add_task("")
            self._progress.start()
        assert self._task is not None
        over = f"{progress.over()}:" if progress.over() else ""
        what = " ".join(part for part in (over, mark.phase, mark.side) if part)
        self._progress.update(self._task, description=what, total=mark.total or None, completed=mark.done)
