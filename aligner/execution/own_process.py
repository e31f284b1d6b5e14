"""Work in a process of its own: where native code ends that process, the caller lives to say where it was."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aligner.errors import AlignerError, ComparisonError
from aligner.execution import memory
from aligner.execution.crash import crash_error, left_error
from aligner.records import progress

T = TypeVar("T")

_CHILD = "from aligner.execution.own_process import work; work()"


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """What a function of a module returns for these arguments.

    Raises what it raises; CrashError where the process died, ComparisonError where arguments cannot be handed over.
    """
    with tempfile.TemporaryDirectory(prefix="aligner-") as folder:
        desk = _Desk(Path(folder))
        desk.request.write_bytes(_packed((function, arguments)))
        board = progress.Board(desk.board)
        code = _run(desk)
        if not board.finished:
            mark, stack = board.read(), desk.stack
            raise (
                crash_error(-code, mark, chatter=desk.chatter, stack=stack)
                if code < 0
                else left_error(code, mark, chatter=desk.chatter)
            )
        returned, outcome = pickle.loads(desk.answer.read_bytes())  # written by our own code, in a private folder
    if not returned:
        raise outcome
    result: T = outcome
    return result


class _Desk:
    """The private folder through which the two processes talk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request, self.answer = folder / "request", folder / "answer"
        self.board, self.chatter, self.stack = folder / "board", folder / "chatter", folder / "stack"


def _packed(request: object) -> bytes:
    try:
        return pickle.dumps(request)
    except Exception as error:  # whatever an object's own pickling raises
        raise _not_handed_over(error) from error


def _not_handed_over(error: BaseException) -> ComparisonError:
    return ComparisonError(
        "the models or inputs cannot be handed to a process of their own",
        found=f"{type(error).__name__}: {error}",
        hint='give files, "file.py:factory" or objects that pickle takes, or compare without isolated=True',
    )


def _run(desk: _Desk) -> int:
    """The exit code of the process; negative: the signal that ended it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with desk.chatter.open("wb") as chatter:
        command = [sys.executable, "-c", _CHILD, str(desk.folder)]
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=chatter, stderr=chatter, env=environment)
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()


def work() -> None:
    """The child's side: the request is read, done and answered; it leaves past a runtime's faulty teardown."""
    import faulthandler

    desk = _Desk(Path(sys.argv[1]))
    with desk.stack.open("w") as stack:
        faulthandler.enable(stack, all_threads=False)
        memory.own_process()
        board = progress.Board(desk.board)
        progress.install(board)
        desk.answer.write_bytes(pickle.dumps(_outcome(desk)))
        board.finish()
        os._exit(0)


def _outcome(desk: _Desk) -> tuple[bool, object]:
    try:
        function, arguments = pickle.loads(desk.request.read_bytes())  # written by our own code, as above
    except Exception as error:  # noqa: BLE001 - a class of the caller's script, which is not a module here
        return False, _not_handed_over(error)
    try:
        return True, function(*arguments)
    except AlignerError as error:
        return False, error
    except Exception as error:  # noqa: BLE001 - told by the caller, with the words that it has
        return False, _picklable(error)


def _picklable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever it holds
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
