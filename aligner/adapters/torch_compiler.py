"""Runs that compute shapes alone, without importing PyTorch's compiler or its symbolic shapes for them."""

from __future__ import annotations

import functools
import importlib
import operator
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_SYMBOLS = "torch.fx.experimental.symbolic_shapes"
_MARK = "__dynamo_disable"
_alone = threading.Lock()


@contextmanager
def compiler_apart() -> Iterator[None]:
    """Let PyTorch's kernels for tensors without data run as they are.

    Those written in Python are hidden from the compiler when they are first called, which imports it: a second, though
    nothing is compiled here; and they ask of each size whether it is a symbol, which imports SymPy: 0.3 seconds, though
    all are numbers. Whoever wants more of either than that gets it. Does nothing where they are imported already;
    leaves nothing behind.
    """
    stand_ins = [kind for kind in (_Compiler, _Symbols, _Algebra) if kind.name not in sys.modules]
    if not stand_ins:
        yield
        return
    with _alone, ExitStack() as stack:
        for kind in stand_ins:
            stack.callback(kind().leave)
        yield


class _StandIn(ModuleType):
    """A module, as long as nothing is asked of it but what can be told without it."""

    name: str

    def __init__(self) -> None:
        super().__init__(self.name)
        sys.modules[self.name] = self

    def leave(self) -> None:
        """Make way for the module itself."""
        if sys.modules.get(self.name) is self:
            del sys.modules[self.name]

    def itself(self) -> ModuleType:
        """The module."""
        self.leave()
        return importlib.import_module(self.name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.itself(), name)


class _Compiler(_StandIn):
    """Kept out."""

    name = _COMPILER

    def __init__(self) -> None:
        super().__init__()
        self._hidden: list[Callable[..., Any]] = []

    def disable(self, function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
        """The function as it is: there is no compiler to hide it from."""
        self._hidden.append(function)
        return function

    def leave(self) -> None:
        """Make way for the compiler itself."""
        super().leave()
        for function in self._hidden:  # each has kept what it was given for the compiler's answer
            function.__dict__.pop(_MARK, None)
        self._hidden.clear()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


_OF_NUMBERS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(
        "expect_true guard_bool guard_int guard_or_false guard_or_true guard_size_oblivious guarding_hint_or_throw "
        "statically_known_true".split(),
        lambda known: known,
    ),
    "sym_and": lambda *all_: functools.reduce(operator.and_, all_),
    "sym_or": lambda *all_: functools.reduce(operator.or_, all_),
    "sym_eq": _equal,
    "is_nested_int": lambda _: False,
    "has_guarding_hint": lambda _: True,
}
"""What symbolic shapes answer of plain numbers."""


class _Symbols(_StandIn):
    """Symbolic shapes, of plain numbers and of lists of them."""

    name = _SYMBOLS

    def __getattr__(self, name: str) -> Any:
        known = _OF_NUMBERS.get(name)
        if known is None:
            return super().__getattr__(name)

        def answered(*given: Any, **further: Any) -> Any:
            if not further and all(map(_is_plain, given)):
                return known(*given)
            return getattr(self.itself(), name)(*given, **further)

        return answered


class _Algebra(_StandIn):
    """SymPy, of which nothing is there that could be an expression."""

    name = "sympy"

    def __getattr__(self, name: str) -> Any:
        stands_in = sys.modules.get(self.name) is self
        return _Expression if name == "Basic" and stands_in else super().__getattr__(name)


class _Expression:
    """What no argument is an instance of."""


def _is_plain(given: Any) -> bool:
    return all(map(_is_plain, given)) if isinstance(given, (tuple, list)) else type(given) in (bool, int)
