"""torch.compile switched off while a run is observed: compiled code calls no function that could be seen."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_running = 0
_stance: Any = None


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled modules and functions eagerly; the setting is the process's: the last of several runs resets it."""
    global _running, _stance
    with _lock:
        _running += 1
        if _running == 1 and "torch._dynamo" in sys.modules:
            _stance = _force_eager()
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0 and _stance is not None:
                _stance.__exit__(None, None, None)
                _stance = None


def _force_eager() -> Any:
    import torch

    if not hasattr(torch.compiler, "set_stance"):  # torch < 2.6
        return None
    stance = torch.compiler.set_stance("force_eager")
    stance.__enter__()
    return stance
