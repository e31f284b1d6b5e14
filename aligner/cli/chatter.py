"""Keep what frameworks print away from the user's terminal, and remember its last lines."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from aligner.records.dataclass import dataclass

_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3", "TOKENIZERS_PARALLELISM": "false"}
"""Read by native code while it is imported; what the user has set wins."""


@dataclass(frozen=True, slots=True, eq=False)
class Terminal:
    """The real standard output and error, while file descriptors 1 and 2 lead elsewhere."""

    out: TextIO
    err: TextIO


_collected_in: Path | None = None
_active: Terminal | None = None


def debugging() -> bool:
    """Whether the user wants to see tracebacks and the frameworks' own words (``ALIGNER_DEBUG=1``)."""
    return os.environ.get("ALIGNER_DEBUG", "0") not in ("", "0")


def collect_in(path: Path | None) -> None:
    """Write chatter to this file from now on, where a supervisor finds it; None: throw it away."""
    global _collected_in
    _collected_in = path


@contextmanager
def quiet(*, verbose: bool = False) -> Iterator[Terminal]:
    """Swallow all output of the block, native code's included; yield the streams that still reach the user.

    ``sys.stdout`` and ``sys.stderr`` are swallowed too, so that a model's own ``print`` does not spoil a JSON report.
    With ``verbose`` or ``ALIGNER_DEBUG=1`` everything goes to standard error instead. Nested blocks share one Terminal;
    it is closed when the outermost block ends.
    """
    global _active
    if _active is not None:
        yield _active
        return
    loud = verbose or debugging()
    if not loud:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    with _redirected(loud) as terminal, nullcontext() if loud else warnings.catch_warnings():
        if not loud:
            warnings.simplefilter("ignore")
        _active = terminal
        try:
            yield terminal
        finally:
            _active = None


@contextmanager
def _redirected(loud: bool) -> Iterator[Terminal]:
    stdout, stderr = sys.stdout, sys.stderr
    _flush(stdout, stderr)
    saved = _copy(1), _copy(2)
    terminal = Terminal(_on_own_descriptor(stdout, 1), _on_own_descriptor(stderr, 2))
    sink = _copy(2) if loud else _open_sink()
    # Left open after the block: a logging handler that a framework made inside it may write later.
    chatter = TextIOWrapper(os.fdopen(sink, "wb", 0), encoding="utf-8", errors="backslashreplace", write_through=True)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    sys.stdout = sys.stderr = chatter
    try:
        yield terminal
    finally:
        _flush(chatter)
        _flush_native()
        for descriptor, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        sys.stdout, sys.stderr = stdout, stderr
        _close(terminal.out, stdout)
        _close(terminal.err, stderr)


def _copy(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:  # started with the descriptor closed
        return os.open(os.devnull, os.O_WRONLY)


def _on_own_descriptor(stream: TextIO | None, descriptor: int) -> TextIO:
    """The stream itself where it does not depend on the descriptor (a test's capture), else one on a copy of it."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - no path of ours
    try:
        depends = stream.fileno() == descriptor
    except (OSError, ValueError, AttributeError):
        depends = False
    if not depends:
        return stream
    by_line = descriptor == 2 or stream.isatty()
    encoding, errors = stream.encoding, stream.errors
    return os.fdopen(_copy(descriptor), "w", 1 if by_line else -1, encoding=encoding, errors=errors)


def _open_sink() -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.open(_collected_in or os.devnull, flags, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


def _flush(*streams: TextIO | None) -> None:
    for stream in streams:
        if stream is not None and not stream.closed:
            stream.flush()


def _flush_native() -> None:
    """Empty C's own buffers while descriptor 1 still leads to the chatter; later they would reach the user."""
    if "ctypes" not in sys.modules:
        return
    import ctypes

    with suppress(OSError, AttributeError, TypeError):  # where there is no C library of the process's own
        ctypes.CDLL(None).fflush(None)


def _close(stream: TextIO, original: TextIO | None) -> None:
    if stream is not original:
        stream.close()
    else:
        stream.flush()
