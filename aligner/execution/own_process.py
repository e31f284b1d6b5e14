"""Work in a process of its own: where native code ends that process, the caller lives to say where it was."""

from __future__ import annotations

import builtins
import os
import pickle
import signal
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from aligner.adapters.home_folders import HOME_VARIABLES
from aligner.errors import AlignerError, ComparisonError, CrashError
from aligner.execution import memory
from aligner.execution.confinement import Bounds, confine, restart_clock
from aligner.execution.crash import crash_error, left_error
from aligner.execution.scratch_folder import Scratch
from aligner.records import progress

T = TypeVar("T")

_SIGN = b"\n"
_OURS = ("aligner.records.", "aligner.errors")
_NUMPY, _OF_ARRAYS = ("numpy._core.", "numpy.core."), ("_reconstruct", "scalar", "_frombuffer")
_PLAIN = frozenset((("numpy", "ndarray"), ("numpy", "dtype"), ("pathlib", "PosixPath"), ("pathlib", "WindowsPath")))
"""What records hold beside themselves."""
_CHILD = "from aligner.execution.own_process import work; work()"


def in_own_process(function: Callable[..., T], *arguments: Any, bounds: Bounds | None = None) -> T:
    """What a function of a module returns for these arguments.

    Raises what it raises; CrashError where the process died, ComparisonError where arguments cannot be handed over.
    """
    with OwnProcess(bounds) as process:
        return process.call(function, *arguments)


class OwnProcess:
    """A process that answers one call after another, and keeps between them what its modules hold.

    ``bounds``: what it is left with; what it answers is then believed to be records of ours and no more.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        scratch = Scratch()
        if scratch.folder is None:
            raise ComparisonError(
                "a process of its own needs a temporary folder, and none can be made",
                found=f"TMPDIR is {os.environ.get('TMPDIR') or 'not set'}",
                hint="free some space, or set TMPDIR to a folder that can be written",
            )
        self._swept = weakref.finalize(self, scratch.sweep, ())
        self._desk = _Desk(scratch.folder)
        self._board = progress.Board(self._desk.board)
        self._confined = bounds is not None and bounds.files
        bounds = bounds and replace(bounds, writes=(*bounds.writes, self._desk.folder))
        self._desk.bounds.write_bytes(pickle.dumps(bounds))
        self._child = _started(self._desk, confined=self._confined)

    def __enter__(self) -> OwnProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """As ``in_own_process``; after a CrashError the process is gone."""
        self._desk.request.write_bytes(_packed((function, arguments)))
        if not self._told():
            raise self._death(self._child.wait())
        returned, outcome = _answer(self._desk, ours=self._confined)
        if not returned:
            raise outcome
        result: T = outcome
        return result

    def kill(self) -> None:
        """End it, whatever it does; who waits for its answer is told so."""
        self._child.kill()

    def close(self) -> None:
        """End it, and sweep up behind it."""
        self.kill()
        with self._child:  # waits, and closes its pipes
            pass
        self._swept()

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
        chatter = self._desk.chatter
        if code < 0:
            return crash_error(-code, self._board, chatter=chatter, stack=self._desk.stack)
        return left_error(code, self._board.read(), chatter=chatter)


class _Desk:
    """The private folder through which the two processes talk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.request, self.bounds, self.answer = folder / "request", folder / "bounds", folder / "answer"
        self.board, self.chatter, self.stack = folder / "board", folder / "chatter", folder / "stack"


def _answer(desk: _Desk, *, ours: bool) -> tuple[bool, Any]:
    """What the process wrote; a hostile file may have taken it over, where it is confined for that."""
    with desk.answer.open("rb") as file:
        try:
            found: tuple[bool, Any] = Records(file).load() if ours else pickle.load(file)
        except Exception as error:  # whatever a stream that nobody wrote as ours makes of itself
            raise ComparisonError(
                "the process that compared answers what is no result", found=str(error), hint="report this message"
            ) from error
    return found


class Records(pickle.Unpickler):
    """Reads records, errors and arrays: nothing that is called does anything but hold what it is given."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse everything else."""
        plain = (module, name) in _PLAIN or (module.startswith(_NUMPY) and name in _OF_ARRAYS)
        if plain or (module.startswith(_OURS) and "." not in name):
            found = super().find_class(module, name)
            if plain or is_dataclass(found) or _is_error(found):
                return found
        if module == "builtins" and _is_error(error := getattr(builtins, name, None)):
            return error
        raise pickle.UnpicklingError(f"{module}.{name}")


def _is_error(found: object) -> bool:
    return isinstance(found, type) and issubclass(found, Exception)


def _packed(request: object) -> bytes:
    try:
        return pickle.dumps(request)
    except Exception as error:  # whatever an object's own pickling raises
        raise _not_handed_over(error) from error


def _not_handed_over(error: BaseException) -> ComparisonError:
    return ComparisonError(
        "the models or inputs cannot be handed to a process of their own",
        found=f"{type(error).__name__}: {error}",
        hint='give files, "file.py:factory" or objects that pickle takes, or work in this process alone',
    )


def _started(desk: _Desk, *, confined: bool) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment |= dict.fromkeys(("TMPDIR", *HOME_VARIABLES), str(desk.folder)) if confined else {}
    command = [sys.executable, "-c", _CHILD, str(desk.folder)]
    with desk.chatter.open("wb") as chatter:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=chatter, env=environment, bufsize=0
        )


def work() -> None:
    """The child's side: requests are read, done and answered until nobody asks; it leaves past faulty teardowns.

    Ctrl-C reaches all processes of a terminal; who asked decides what becomes of this one.
    """
    import faulthandler

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    desk = _Desk(Path(sys.argv[1]))
    asked, answered = _own_streams()
    with desk.stack.open("w") as stack:
        faulthandler.enable(stack)
        memory.own_process()
        confined = pickle.loads(desk.bounds.read_bytes())  # written by our own code, as the requests
        if confined is not None:
            confine(confined)
        progress.install(progress.Board(desk.board))
        while os.read(asked, len(_SIGN)):
            restart_clock()
            desk.answer.write_bytes(pickle.dumps(_outcome(desk, ours=confined is not None and confined.files)))
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


def _outcome(desk: _Desk, *, ours: bool) -> tuple[bool, object]:
    """``ours``: an error of a class that is neither ours nor Python's is told in words."""
    try:
        function, arguments = pickle.loads(desk.request.read_bytes())  # written by our own code, as above
    except Exception as error:  # noqa: BLE001 - a class of the caller's script, which is not a module here
        return False, _not_handed_over(error)
    try:
        return True, function(*arguments)
    except AlignerError as error:
        return False, error
    except MemoryError:
        return False, MemoryError("in the process that compared")  # the error itself holds what there was no room for
    except Exception as error:  # noqa: BLE001 - told by the caller, with the words that it has
        return False, _picklable(error, foreign=not ours)


def _picklable(error: Exception, *, foreign: bool) -> Exception:
    """The error where it can be handed over; ``foreign``: of any class, not only of Python's own."""
    try:
        if not foreign and type(error).__module__ != "builtins":
            raise TypeError
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001 - whatever it holds
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
