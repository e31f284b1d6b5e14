"""One folder for all temporary files of a run, swept up however the run ends."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aligner.records import progress
from aligner.records.partial import delete

_LOCK, _BOARD = "lock", "board"
_NAMES = ("TMPDIR", "TEMP", "TMP")
"""Variables that say where temporary files go."""
_NAME = re.compile(r"aligner-[0-9]+-[0-9a-f]{12}")


class Scratch:
    """A private folder; ``folder`` is None where none can be made, and then nothing is recorded.

    A lock in it is held as long as a process of the run lives; folders of runs that were killed are swept up by the
    next one.
    """

    def __init__(self) -> None:
        self.folder = _make_folder()
        self._lock = _locked(self.folder / _LOCK) if self.folder else None
        if self.folder:
            _sweep_dead(self.folder)

    def board(self) -> progress.Board:
        """Where the work stands; in a file, so that the next run knows what this one was writing if all of it dies."""
        try:
            return progress.Board(self.folder / _BOARD if self.folder else None)
        except OSError:
            return progress.Board()

    @property
    def chatter(self) -> Path:
        """Where the frameworks' output goes."""
        return self.folder / "chatter" if self.folder else Path(os.devnull)

    @property
    def stack(self) -> Path:
        """Where the Python stack goes when native code crashes."""
        return self.folder / "stack" if self.folder else Path(os.devnull)

    def sweep(self, partials: Iterable[str]) -> None:
        """Delete the folder, and the partial files that have not been moved to their final names."""
        for partial in partials:
            delete(Path(partial))
        if self.folder is None:
            return
        _unlink(self.chatter)
        _unlink(self.folder / _BOARD)
        _unlink(self.stack)
        _unlink(self.folder / _LOCK)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        try:
            self.folder.rmdir()
        except OSError:
            import shutil  # only where a framework left something

            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def temporary_files() -> Iterator[None]:
    """A folder that takes what frameworks leave in the temporary one, where no process of our own does."""
    scratch = Scratch()
    before = {name: os.environ.get(name) for name in _NAMES}
    known = getattr(sys.modules.get("tempfile"), "tempdir", None)
    if scratch.folder:
        os.environ |= dict.fromkeys(_NAMES, str(scratch.folder))
        _tell_tempfile(None)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
        _tell_tempfile(known)
        scratch.sweep(())


def _tell_tempfile(folder: str | None) -> None:
    """Where temporary files go, for the module that asks the environment once; None: it asks again."""
    module: Any = sys.modules.get("tempfile")
    if module is not None:
        module.tempdir = folder


def _locked(path: Path) -> int | None:
    """A descriptor that holds the file's lock, for this process and its children; None where another has it."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ImportError, OSError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep_dead(own: Path) -> None:
    """Delete what runs of this user left that were killed with all their processes."""
    try:
        found = [entry for entry in os.scandir(own.parent) if _NAME.fullmatch(entry.name) and entry.name != own.name]
    except OSError:
        return
    for entry in found:
        folder = Path(entry.path)
        try:
            mine = entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
        except (OSError, AttributeError):
            continue
        if mine and not _is_alive(int(entry.name.split("-")[1])) and (lock := _locked(folder / _LOCK)) is not None:
            import shutil

            for partial in _partials(folder / _BOARD):
                delete(Path(partial))
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _partials(board: Path) -> tuple[str, ...]:
    """What a dead run was writing; its board is a file that a hostile model may have put there."""
    try:
        with os.fdopen(os.open(board, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            return progress.partials_in(file.read(progress.SIZE))
    except OSError:
        return ()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def _make_folder() -> Path | None:
    """What tempfile.mkdtemp does, without the milliseconds of importing it."""
    bases = (*map(os.environ.get, _NAMES), "/tmp", "/var/tmp")
    for base in filter(None, bases):
        folder = Path(base).absolute() / f"aligner-{os.getpid()}-{os.urandom(6).hex()}"
        try:
            folder.mkdir(mode=0o700)
        except OSError:
            continue
        return folder
    return None
