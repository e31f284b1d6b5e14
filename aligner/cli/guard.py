"""Every way in which a command can end, turned into an exit code and a message without traceback."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from aligner.cli.chatter import debugging
from aligner.errors import AlignerError
from aligner.execution.last_words import printable

FAILED = 2
"""Exit code of "could not compare"; 0, 1 and 3 are verdicts."""

_PACKAGE = Path(__file__).parent.parent


_verdict: int | None = None
_RUN_AGAIN = "run it again"
_again = _RUN_AGAIN


def decided(code: int) -> int:
    """Keep the exit code of a verdict: a reader who closes the pipe before the report's end does not change it."""
    global _verdict
    _verdict = code
    return code


def resumable(how: str) -> None:
    """Say how the work can be gone on with after an interruption."""
    global _again
    _again = how


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """What a batch system or a closed terminal sends ends the work as Ctrl-C does, so that it can keep what is done."""

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt(signal.Signals(number).name)

    import threading

    own = threading.current_thread() is threading.main_thread()
    wanted = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if own and hasattr(signal, name)]
    taken = [number for number in wanted if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in taken:
            if signal.getsignal(number) is stop:  # the same signal may come twice, from the parent and to the group
                signal.signal(number, signal.SIG_DFL)


def guarded(work: Callable[[], int]) -> int:
    """Run the work and return its exit code; whatever it raises is told on standard error."""
    global _verdict
    _verdict = None
    resumable(_RUN_AGAIN)
    try:
        return work()
    except SystemExit as leaving:
        return _exit_code(leaving)
    except KeyboardInterrupt as stop:
        say(interrupted(f"by {stop.args[0] if stop.args else 'Ctrl-C'}"))
    except BrokenPipeError:  # the reader of a pipe has seen enough
        discard_output()
        if _verdict is not None:
            return _verdict
    except AlignerError as error:
        say(error)
        return error.exit_code
    except MemoryError as error:
        say(_out_of_memory(error))
    except OSError as error:
        say(_refused(error))
    except BaseException as error:  # noqa: BLE001 - nothing may pass: the user would get a traceback
        say(_bug(error))
    return FAILED


def say(error: AlignerError) -> None:
    """Print the three parts on standard error; with ``ALIGNER_DEBUG=1`` the traceback before them."""
    if sys.stderr is None:
        return
    if debugging() and sys.exc_info()[0] is not None:
        traceback.print_exc()
    try:
        print(f"error: {printable(str(error))}", file=sys.stderr, flush=True)
    except (OSError, ValueError):  # nobody listens any more
        return


def interrupted(how: str) -> AlignerError:
    """The message of a run that the user ended."""
    return AlignerError("interrupted", found=f"stopped {how} before the work was done", hint=_again)


def discard_output() -> None:
    """Let later writes to standard output go nowhere instead of failing again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def flush_output(code: int) -> int:
    """Flush standard output and error; a report that cannot be delivered is a failure."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
        code = code if _verdict is not None else FAILED
    except (OSError, ValueError) as error:
        discard_output()
        say(AlignerError("cannot write to standard output", found=str(error), hint="free space, or write to a file"))
        code = FAILED
    return code


def _exit_code(leaving: SystemExit) -> int:
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code
    say(AlignerError(str(leaving.code)))
    return FAILED


def _out_of_memory(error: MemoryError) -> AlignerError:
    return AlignerError(
        "the memory does not suffice",
        found=str(error) or f"raised at {_last_own_frame(error.__traceback__)}",
        hint="try a smaller input, or free memory",
    )


def _refused(error: OSError) -> AlignerError:
    return AlignerError(
        "the operating system refused an operation",
        found=f"{error}, at {_last_own_frame(error.__traceback__)}",
        hint="check that the disk has space and that the files named may be read and written",
    )


def _bug(error: BaseException) -> AlignerError:
    text = str(error).strip().split("\n")[0][:300]
    return AlignerError(
        "this is a bug in aligner, please report it",
        found=f"{type(error).__name__}{': ' if text else ''}{text}, raised at {_last_own_frame(error.__traceback__)}",
        hint="ALIGNER_DEBUG=1 shows the traceback",
    )


def _last_own_frame(start: TracebackType | None) -> str:
    """ "aligner/diff/difference.py:41 in update": the innermost frame of this package, else the innermost of all."""
    frames = traceback.extract_tb(start)
    own = [frame for frame in frames if _PACKAGE in Path(frame.filename).parents]
    if not frames:
        return "an unknown place"
    frame = (own or frames)[-1]
    file = Path(frame.filename)
    name = file.relative_to(_PACKAGE.parent) if own else file.name
    return f"{name}:{frame.lineno} in {frame.name}"
