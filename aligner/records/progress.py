"""Where the work stands: told to listeners (a progress bar) and kept where a parent can read it after a crash."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aligner.records.dataclass import dataclass

_SLOT = 4096
_PARTIALS = 4 * _SLOT + 16
SIZE = 64 * 1024
"""Bytes of a board."""
_FIELD = "\x1f"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is being done: "candidate", "running", "model.onnx", 12 of 80 nodes, the last one "/conv1/Conv"; ``item``:
    of which input of a set, "val/7.png"."""

    side: str = ""
    phase: str = ""
    detail: str = ""
    done: int = 0
    total: int = 0
    node: str = ""
    item: str = ""


class Board:
    """Memory shared with a child, a forked one or any that opens the same ``file``; what it wrote last outlives it.

    A mark goes into the slot that is not current, then one byte makes it current: death in mid-write loses nothing.
    There are two such marks: of the work at large, and of what one thread does ``aside``.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._memory = mmap.mmap(-1, SIZE) if file is None else _shared(file)
        self._lock = threading.Lock()

    def write(self, mark: Mark, aside: int = 0) -> None:
        """Replace the mark, with ``aside`` that of the thread of this ident.

        The detail keeps its end and the node its start when they are too long.
        """
        numbers = str(mark.done), str(mark.total), str(aside)
        fields = (mark.side, mark.phase, mark.detail[-1200:], *numbers, mark.node[:600], mark.item[-600:])
        data = _FIELD.join(text.replace(_FIELD, " ") for text in fields).encode("utf-8", "replace")[: _SLOT - 2]
        with self._lock:
            current = 2 if aside else 0
            slot = 1 - self._memory[current]
            start = 16 + (current + slot) * _SLOT
            self._memory[start : start + 2 + len(data)] = len(data).to_bytes(2, "little") + data
            self._memory[current] = slot

    def read(self, thread: int | None = None) -> tuple[Mark, ...]:
        """Return the last complete mark of the thread; of all that was going on where it is not known."""
        mark, _ = self._read(0)
        aside, owner = self._read(2)
        if aside == Mark():
            return (mark,)
        if thread is None:
            return mark, aside
        return (aside if thread == owner else mark,)

    def _read(self, current: int) -> tuple[Mark, int]:
        start = 16 + (current + self._memory[current]) * _SLOT
        length = int.from_bytes(self._memory[start : start + 2], "little")
        fields = self._memory[start + 2 : start + 2 + length].decode("utf-8", "replace").split(_FIELD)
        if len(fields) != 8:
            return Mark(), 0
        side, phase, detail, done, total, thread, node, item = fields
        return Mark(side, phase, detail, int(done), int(total), node, item), int(thread)

    def finish(self) -> None:
        """Say that the work has come to its own end, whatever that was."""
        self._memory[1] = 1

    @property
    def finished(self) -> bool:
        """Whether the work came to its own end; a process can also be ended from within, by code it runs."""
        return bool(self._memory[1])

    def add_partial(self, path: str) -> None:
        """Remember a file that is worth nothing until it has been moved to its final name."""
        data = path.encode("utf-8", "surrogateescape") + b"\0"
        with self._lock:
            used = int.from_bytes(self._memory[8:12], "little")
            start = _PARTIALS + used
            if start + len(data) <= SIZE:
                self._memory[start : start + len(data)] = data
                self._memory[8:12] = (used + len(data)).to_bytes(4, "little")

    def partials(self) -> tuple[str, ...]:
        """Return every remembered file, moved since or not."""
        return partials_in(self._memory[:])


def partials_in(board: bytes) -> tuple[str, ...]:
    """The same, of a board's bytes, as its file keeps them."""
    used = int.from_bytes(board[8:12], "little")
    data = board[_PARTIALS : _PARTIALS + used]
    return tuple(part.decode("utf-8", "surrogateescape") for part in data.split(b"\0") if part)


def _shared(file: Path) -> mmap.mmap:
    """The file's memory; where the disk has no room for it, nobody's but ours and our children's."""
    with file.open("a+b") as opened:
        try:
            opened.truncate(SIZE)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(opened.fileno(), 0, SIZE)  # or a full disk would end us as we write
            return mmap.mmap(opened.fileno(), SIZE)
        except OSError:
            return mmap.mmap(-1, SIZE)


Listener = Callable[[Mark], None]


class _Here(threading.local):
    """What this thread does aside, if it does."""

    aside: Mark | None = None


_board: Board | None = None
_current = Mark()
_here = _Here()
_headline = ""
_item = ""
_listeners: list[Listener] = []


def install(board: Board | None) -> None:
    """Write every later mark onto the board as well; None: stop doing so."""
    global _board
    _board = board


def board() -> Board | None:
    """Return the board of this process, if a supervisor installed one."""
    return _board


def current() -> Mark:
    """Return the mark set last by this thread, where it works aside, or else by the others."""
    return _current if _here.aside is None else _here.aside


@contextmanager
def aside() -> Iterator[None]:
    """Keep what this thread says apart from what the others say; for one thread at a time."""
    _here.aside = Mark()
    try:
        yield
    finally:
        _here.aside = None
        if _board is not None:
            _board.write(Mark(), threading.get_ident())


def enter(side: str, phase: str, detail: str = "") -> None:
    """Say what starts now: ``enter("candidate", "running", "model.onnx")``; the side may be empty."""
    _publish(Mark(side, phase, detail, item=_item))


def about(item: str) -> None:
    """Say of which input of a set everything is, from now on."""
    global _item
    _item = item


def headline(words: str) -> None:
    """Say what the phases belong to, from now on: "12 of 400 samples, 3.1 a second"; listeners hear of it at once."""
    global _headline
    _headline = words
    for listener in tuple(_listeners):
        listener(current())


def over() -> str:
    """Return the headline said last."""
    return _headline


def advance(done: int, total: int, node: str = "") -> None:
    """Say how far the current phase is, and which node was reached; ``total`` is 0 where it is not known."""
    mark = current()
    _publish(Mark(mark.side, mark.phase, mark.detail, done, total, node or mark.node, mark.item))


def listen(listener: Listener) -> Callable[[], None]:
    """Call the listener with each mark, in the thread that set it; the function returned ends that."""
    _listeners.append(listener)

    def stop() -> None:
        if listener in _listeners:
            _listeners.remove(listener)

    return stop


def unfinished(path: str) -> None:
    """Name a file that is worth nothing until it is moved to its final name: a supervisor deletes it if we die."""
    if _board is not None:
        _board.add_partial(path)


def _publish(mark: Mark) -> None:
    global _current
    apart = _here.aside is not None
    if apart:
        _here.aside = mark
    else:
        _current = mark
    if _board is not None:
        _board.write(mark, threading.get_ident() if apart else 0)
    for listener in tuple(_listeners):
        listener(mark)
