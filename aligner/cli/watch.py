"""The parent's side: wait for the working process, pass signals on, and tell how it ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from types import FrameType
from typing import Any

from aligner.cli.guard import FAILED, interrupted, say
from aligner.errors import AlignerError
from aligner.execution.crash import crash_error, left_error
from aligner.execution.scratch_folder import Scratch
from aligner.records.progress import Board

PASSED_ON = frozenset((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))

_SAME = 0.3
"""Seconds within which two signals are one: ``timeout`` sends it to the process and to its group."""

_GRACE = 5
"""Seconds that an interrupted child has to clean up; native code that never returns to Python is killed then."""


class Watch:
    """Made before the fork, used by the parent only."""

    def __init__(self, scratch: Scratch, board: Board) -> None:
        self._scratch = scratch
        self._board = board
        self._pid = 0
        self._asked_at = 0.0
        self._asked_by = 0

    def over(self, pid: int, mask: set[int | signal.Signals]) -> int:
        """Wait for the child, sweep up behind it, and return the exit code; ``mask`` is restored."""
        self._pid = pid
        before = {number: self._handle(number) for number in (*PASSED_ON, signal.SIGALRM)}
        child_handling = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, it would lose the exit status
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            _, status = os.waitpid(pid, 0)
            self._pid = 0
            return self._outcome(status)
        finally:
            signal.alarm(0)
            self._scratch.sweep(self._board.partials())
            for number, handling in (*before.items(), (signal.SIGCHLD, child_handling)):
                if handling is not None:
                    signal.signal(number, handling)

    def _handle(self, number: signal.Signals) -> Any:
        """Install our handler, unless the signal is ignored: ``nohup`` and background jobs rely on that."""
        if signal.getsignal(number) == signal.SIG_IGN:
            return None
        return signal.signal(number, self._on_alarm if number == signal.SIGALRM else self._on_signal)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """Pass it on, whoever sent it: the child takes two interrupts for one. The second request kills."""
        now = time.monotonic()
        if not self._asked_by:
            self._asked_by, self._asked_at = number, now
            self._send(number)
            signal.alarm(_GRACE)
        elif now - self._asked_at > _SAME:
            self._send(signal.SIGKILL)

    def _on_alarm(self, *_: object) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if not self._pid:
            return
        try:
            os.kill(self._pid, number)
        except ProcessLookupError:
            return

    def _outcome(self, status: int) -> int:
        exited = os.WIFEXITED(status)
        if exited and self._board.finished:
            return os.WEXITSTATUS(status)
        number = 0 if exited else os.WTERMSIG(status)
        _tidy_terminal()
        if self._asked_by == signal.SIGINT or (number == signal.SIGINT and not self._asked_by):
            say(interrupted("by Ctrl-C"))
        elif self._asked_by:
            say(interrupted(f"by {signal.Signals(self._asked_by).name}"))
        else:
            say(self._left(os.WEXITSTATUS(status)) if exited else self._crash(number))
        return FAILED

    def _left(self, code: int) -> AlignerError:
        return left_error(code, self._board.read(), chatter=self._scratch.chatter)

    def _crash(self, number: int) -> AlignerError:
        return crash_error(number, self._board, chatter=self._scratch.chatter, stack=self._scratch.stack)


def _tidy_terminal() -> None:
    """Erase what a progress bar left behind, and show the cursor that it had hidden."""
    if sys.stderr is not None and sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K\x1b[?25h")
