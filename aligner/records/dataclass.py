"""dataclass() as the standard library has it, whose frozen classes are made in a quarter of the time.

A command makes some 300 frozen records as its modules are imported. Up to Python 3.12 the standard library compiles six
methods of each from text, 0.45 ms a class and a sixth of a short command; here one is compiled, and the others are
the same few functions for all classes. Type checkers see the standard library's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, fields
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls: Any = None, /, *, frozen: bool = False, repr: bool = True, eq: bool = True, **how: bool) -> Any:
        """The standard library's decorator, of the same arguments (``order``, ``init`` and InitVar aside)."""

        def made(cls: type) -> type:
            if not frozen:
                return dataclasses.dataclass(cls, repr=repr, eq=eq, **how)
            return _frozen(cls, dataclasses.dataclass(cls, init=False, repr=False, eq=False, **how), repr, eq)

        return made if cls is None else made(cls)


def _frozen(written: type, made: Any, with_repr: bool, with_eq: bool) -> type:
    """The class that the library ``made`` of its fields, with methods; what is ``written`` in it stays."""
    own = written.__dict__
    made.__init__ = _init(made)
    made.__setattr__ = made.__delattr__ = _refuse
    if with_repr and "__repr__" not in own:
        made.__repr__ = _repr([item.name for item in fields(made) if item.repr])
    if with_eq:
        if "__eq__" not in own:
            made.__eq__ = _eq(_values([item.name for item in fields(made) if item.compare]))
        if own.get("__hash__") is None:
            made.__hash__ = _hash(
                _values([item.name for item in fields(made) if (item.compare if item.hash is None else item.hash)])
            )
    if "__slots__" in made.__dict__ and "__getstate__" not in own:
        made.__getstate__, made.__setstate__ = _state, _restore
    return made  # type: ignore[no-any-return]


def _init(made: Any) -> Callable[..., None]:
    """``__init__`` of the fields, compiled: Python binds arguments quicker than any function of ours."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_unset": MISSING}
    positional, named, body = ["self"], list[str](), list[str]()
    for item in fields(made):
        name, factory = item.name, item.default_factory is not MISSING
        known[f"_of_{name}"] = item.default_factory if factory else item.default
        given = name
        if item.init:
            default = "_unset" if factory else f"_of_{name}"
            optional = factory or item.default is not MISSING
            (named if item.kw_only else positional).append(f"{name}={default}" if optional else name)
            given = f"_of_{name}() if {name} is _unset else {name}" if factory else name
        elif factory:
            given = f"_of_{name}()"
        elif item.default is not MISSING:
            given = f"_of_{name}"
        else:
            continue
        body.append(f" _set(self, {name!r}, {given})")
    if hasattr(made, "__post_init__"):
        body.append(" self.__post_init__()")
    arguments = ", ".join([*positional, *(["*", *named] if named else [])])
    text = "\n".join([f"def __init__({arguments}):", *(body or [" pass"])])
    exec(text, known)  # of names of fields alone, as the standard library does it
    init: Callable[..., None] = known["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _values(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What takes the fields of an instance, as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _refuse(self: Any, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__qualname__}")


def _repr(names: list[str]) -> Callable[[Any], str]:
    def shown(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return recursive_repr()(shown)


def _eq(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], bool]:
    def equal(self: Any, other: object) -> bool:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _hash(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    return lambda self: hash(values(self))


def _state(self: Any) -> list[Any]:
    return [getattr(self, item.name) for item in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for item, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, value)


__all__ = ["dataclass"]
