"""The ``align`` command: a thin parent that outlives whatever a framework does to the working process.

The parent forks before anything heavy is imported, so it costs a few milliseconds and has no threads to lose.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from aligner.cli.chatter import collect_in
from aligner.cli.guard import FAILED, flush_output, guarded, interrupted, say
from aligner.cli.held_back import HELD_BACK
from aligner.execution import memory
from aligner.execution.scratch_folder import Scratch, temporary_files
from aligner.records import progress

_scratch: Path | None = None
"""The folder of a working process of our own."""
_COMPLETING = "_ALIGN_COMPLETE"
"""Set by a shell that asks for completions."""
_MOMENT = 1e-3
"""Seconds in which a finaliser ends; where it does not, the next one follows."""


Mask = set[int | signal.Signals]


def main(argv: Sequence[str] | None = None, *, mask: Mask | None = None) -> int:
    """Run the command line (``sys.argv`` by default) and return its exit code.

    ``mask``: the signals that were held back before the caller held back ours.
    """
    try:
        code = supervise(lambda: _command(argv), mask)
    except KeyboardInterrupt:  # before anybody watched
        say(interrupted("by Ctrl-C"))
        code = FAILED
    if argv is None and hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)  # the exit code stands; the interpreter may end in peace
    return code


def supervise(work: Callable[[], int], mask: Mask | None = None) -> int:
    """Run the work in a forked process, watch it, and return its exit code; 2 where it ended before its work did.

    Must be called in the main thread, before frameworks are imported. Where there is no fork (Windows,
    ``ALIGNER_NO_FORK=1``) the work runs here, without protection.
    """
    if not hasattr(os, "fork") or os.environ.get("ALIGNER_NO_FORK", "0") not in ("", "0"):
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with temporary_files():
            return flush_output(guarded(work))
    held = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    before = held if mask is None else mask
    from aligner.cli.watch import Watch

    scratch = Scratch()
    board = scratch.board()
    watch = Watch(scratch, board)
    flush_output(0)
    reading, writing = os.pipe()  # never written to: its end tells the child that the parent is gone
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        _work(work, scratch, board, reading, before)
    os.close(reading)
    return watch.over(pid, before)


def _work(work: Callable[[], int], scratch: Scratch, board: progress.Board, lifeline: int, mask: Mask) -> NoReturn:
    """The child: it leaves by ``os._exit``, so that a runtime's faulty teardown cannot spoil a finished report."""
    code = FAILED
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt_once)
            sys.unraisablehook = _interrupt_again
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = guarded(lambda: _prepared(work, scratch, board, lifeline))
        code = flush_output(code)
    except KeyboardInterrupt:
        say(interrupted("by Ctrl-C"))
    finally:
        board.finish()
        os._exit(code)


def _prepared(work: Callable[[], int], scratch: Scratch, board: progress.Board, lifeline: int) -> int:
    memory.own_process()
    progress.install(board)
    collect_in(scratch.chatter)
    global _scratch
    _scratch = scratch.folder or Path(os.devnull)
    if scratch.folder:
        os.environ["TMPDIR"] = str(scratch.folder)  # whatever a framework leaves there is swept up with the folder
        _record_stack(scratch.stack)
    _end_with_parent(scratch, board, lifeline)
    return work()


def _interrupt_once(*_: object) -> NoReturn:
    """One Ctrl-C may arrive twice, from the terminal and from the parent; cleaning up must not be interrupted again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _interrupt_again(unraisable: sys.UnraisableHookArgs) -> None:
    """An interruption that reached a finaliser, which lets nothing pass, comes again in a moment."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
        return
    import threading

    signal.signal(signal.SIGINT, _interrupt_once)
    threading.Timer(_MOMENT, os.kill, (os.getpid(), signal.SIGINT)).start()


def _record_stack(path: Path) -> None:
    import faulthandler

    # Stays open: it is written to in a signal handler, when nothing can be opened any more.
    # All threads, as only then it says which one died.
    faulthandler.enable(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def _end_with_parent(scratch: Scratch, board: progress.Board, lifeline: int) -> None:
    """Leave when the parent was killed: nobody would collect the result, and pipes would stay open for ever."""
    import threading

    def wait() -> None:
        os.read(lifeline, 1)
        scratch.sweep(board.partials())
        os._exit(FAILED)

    threading.Thread(target=wait, name="aligner-lifeline", daemon=True).start()


def _command(argv: Sequence[str] | None) -> int:
    import click

    from aligner.cli.commands import cli
    from aligner.cli.targets import confine_in

    confine_in(_scratch)
    stdout = sys.stdout
    try:
        words = sys.argv[1:] if argv is None else list(argv)
        result = cli.main(args=words, prog_name="align", standalone_mode=False, obj=tuple(words))
    except click.ClickException as error:
        error.show(sys.stderr)
        return FAILED
    except click.Abort as error:
        raise KeyboardInterrupt(*(error.__cause__.args if error.__cause__ else ())) from error
    except SystemExit as error:
        if sys.stdout is not stdout:  # click wraps the stream and exits with 1, our "diverged", when a pipe is closed
            raise BrokenPipeError from error
        if _COMPLETING in os.environ:  # click answers the shell and leaves by itself
            return FAILED if error.code else 0
        from aligner.execution.crash import left_error

        raise left_error(error.code, (progress.current(),)) from error  # no command of ours leaves so: a model did
    return result if isinstance(result, int) else 0
