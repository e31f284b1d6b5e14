"""Runs that compute shapes alone, without importing PyTorch's compiler for them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_MARK = "__dynamo_disable"
_alone = threading.Lock()


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let PyTorch's kernels for tensors without data run as they are.

    Those written in Python are hidden from the compiler when they are first called, which imports it: a second, though
    nothing is compiled here. Does nothing where it is imported already; leaves nothing behind.
    """
    if _COMPILER in sys.modules:
        yield
        return
    hidden: list[Callable[..., Any]] = []

    def disable(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        hidden.append(function)
        return function

    stub = ModuleType(_COMPILER)
    stub.__dict__["disable"] = disable
    with _alone:
        sys.modules.setdefault(_COMPILER, stub)
        try:
            yield
        finally:
            if sys.modules.get(_COMPILER) is stub:
                del sys.modules[_COMPILER]
            for function in hidden:  # each has kept what it was given for the real compiler's answer
                function.__dict__.pop(_MARK, None)
