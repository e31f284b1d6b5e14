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

from aligner.errors import AlignerError, ComparisonError, CrashError
from aligner.execution import memory
from aligner.execution.crash import crash_error, left_error
from aligner.records import progress

T = TypeVar("T")

_SIGN = b"\n"
_CHILD = "from aligner.execution.own_process import work; work()"


def in_own_process(function: Callable[..., T], *arguments: Any) -> T:
    """What a function of a module returns for these arguments.

    Raises what it raises; CrashError where the process died, ComparisonError where arguments cannot be handed over.
    """
    with OwnProcess() as process:
        return process.call(function, *arguments)


class OwnProcess:
    """A process that answers one call after another, and keeps between them what its modules hold."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="aligner-")
        self._desk = _Desk(Path(self._scratch.name))
        self._board = progress.Board(self._desk.board)
        self._child = _started(self._desk)

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Where it reads and writes by itself."""
        return self._desk.folder

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """As ``in_own_process``; after a CrashError the process is gone."""
        self._desk.request.write_bytes(_packed((function, arguments)))
        if not self._told():
            raise self._death(self._child.wait())
        returned, outcome = pickle.loads(self._desk.answer.read_bytes())  # our own code's, in a private folder
        if not returned:
            raise outcome
        result: T = outcome
        return result

    def close(self) -> None:
        """End it, whatever it does."""
        self._child.kill()
        with self._child:  # waits, and closes its pipes
            pass
        self._scratch.cleanup()

    def _told(self) -> bool:
        """Wait until it has answered; False: it ended instead."""
        if self._child.stdin is None or self._child.stdout is None:
            return False
        try:
            self._child.stdin.write(_SIGN)
            self._child.stdin.flush()
        except OSError:  # it was gone before it was asked
            return False
        return self._child.stdout.read(len(_SIGN)) == _SIGN

    def _death(self, code: int) -> CrashError:
        mark, chatter = self._board.read(), self._desk.chatter
        if code < 0:
            return crash_error(-code, mark, chatter=chatter, stack=self._desk.stack)
        return left_error(code, mark, chatter=chatter)


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


def _started(desk: _Desk) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _CHILD, str(desk.folder)]
    with desk.chatter.open("wb") as chatter:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=chatter, env=environment, bufsize=0
        )


def work() -> None:
    """The child's side: requests are read, done and answered until nobody asks; it leaves past faulty teardowns."""
    import faulthandler

    desk = _Desk(Path(sys.argv[1]))
    asked, answered = _own_streams()
    with desk.stack.open("w") as stack:
        faulthandler.enable(stack, all_threads=False)
        memory.own_process()
        progress.install(progress.Board(desk.board))
        while os.read(asked, len(_SIGN)):
            desk.answer.write_bytes(pickle.dumps(_outcome(desk)))
            os.write(answered, _SIGN)
        os._exit(0)


def _own_streams() -> tuple[int, int]:
    """The pipes from and to the parent, out of reach of whatever reads or prints."""
    asked, answered = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return asked, answered


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
