"""Runs that compute shapes alone, without importing PyTorch's compiler for them."""

from __future__ import annotations

import importlib
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
def compiler_apart() -> Iterator[None]:
    """Let PyTorch's kernels for tensors without data run as they are.

    Those written in Python are hidden from the compiler when they are first called, which imports it: a second, though
    nothing is compiled here. Whoever wants more of it than that gets it. Does nothing where it is imported already;
    leaves nothing behind.
    """
    if _COMPILER in sys.modules:
        yield
        return
    with _alone:
        stand_in = _StandIn()
        sys.modules[_COMPILER] = stand_in
        try:
            yield
        finally:
            stand_in.leave()


class _StandIn(ModuleType):
    """The compiler, as long as nothing is asked of it but to be kept out."""

    def __init__(self) -> None:
        super().__init__(_COMPILER)
        self._hidden: list[Callable[..., Any]] = []

    def disable(self, function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        """The function as it is: there is no compiler to hide it from."""
        self._hidden.append(function)
        return function

    def leave(self) -> None:
        """Make way for the compiler itself."""
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        for function in self._hidden:  # each has kept what it was given for the compiler's answer
            function.__dict__.pop(_MARK, None)
        self._hidden.clear()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.leave()
        return getattr(importlib.import_module(_COMPILER), name)
