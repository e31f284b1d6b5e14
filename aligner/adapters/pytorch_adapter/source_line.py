"""The line of the model's own code that is running, not that of the framework below it."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from types import FrameType, TracebackType

_RUNTIME = frozenset({"contextlib.py", "functools.py", "threading.py", "_contextlib.py", "_decorators.py"})
_OWN = str(Path(__file__).resolve().parents[1])
_SESSION = str(Path(__file__).resolve().parent / "session.py")
"""The file that calls the model: what lies above it is not the model's."""


def calling_line() -> str | None:
    """ "file.py:12" of the innermost frame that belongs neither to torch nor to this package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename != _SESSION:
        label = _label(frame.f_code.co_filename)
        if label:
            return f"{label}:{frame.f_lineno}"
        frame = frame.f_back
    return None


def raising_line(traceback: TracebackType | None) -> str | None:
    """ "file.py:12" of the model's own line that led to an exception."""
    found = None
    while traceback is not None:
        label = _label(traceback.tb_frame.f_code.co_filename)
        if label:
            found = f"{label}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


@lru_cache(maxsize=4096)
def _label(filename: str) -> str:
    """The file's short name; empty for frames that nobody would look into."""
    if filename.startswith("<"):
        return ""
    path = Path(filename).absolute()
    torch_root = _torch_root()
    if path.name in _RUNTIME or str(path).startswith(_OWN) or (torch_root and str(path).startswith(torch_root)):
        return ""
    for root in (Path.cwd(), *sorted((Path(entry) for entry in sys.path if entry), key=lambda p: -len(str(p)))):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    return path.name


@lru_cache(maxsize=1)
def _torch_root() -> str:
    torch = sys.modules.get("torch")
    return str(Path(torch.__file__).parent) if torch is not None and torch.__file__ else ""
