"""``dataclasses.dataclass``, whose methods are written when they are first asked for.

A command imports some three hundred records and makes a third of them; the standard decorator compiles six functions
for each, which was an eighth of a short command's time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field as field
from dataclasses import fields as fields
from dataclasses import replace as replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(
        cls: type[Any] | None = None,
        /,
        *,
        frozen: bool = False,
        slots: bool = False,
        eq: bool = True,
        repr: bool = True,
        kw_only: bool = False,
    ) -> Any:
        """A class with fields, as the standard decorator makes it."""
        if cls is None:
            return partial(dataclass, frozen=frozen, slots=slots, eq=eq, repr=repr, kw_only=kw_only)
        own = set(vars(cls))
        made = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)
        methods = {name: _Late(made, name, frozen) for name in ("__init__", *["__repr__"] * repr, *["__eq__"] * eq)}
        if eq:
            methods["__hash__"] = _Late(made, "__hash__", frozen) if frozen else None
        if frozen:
            methods |= _FROZEN
        for name in methods.keys() - own:
            setattr(made, name, methods[name])
        return made


class _Late:
    """A method that takes its own place in its class when it is asked for."""

    __slots__ = ("frozen", "name", "owner")

    def __init__(self, owner: type[Any], name: str, frozen: bool) -> None:
        self.owner, self.name, self.frozen = owner, name, frozen

    def __get__(self, instance: object, cls: type | None = None) -> Any:
        method = _init(self.owner) if self.name == "__init__" else self._standard()
        method.__module__, method.__qualname__ = self.owner.__module__, f"{self.owner.__qualname__}.{self.name}"
        setattr(self.owner, self.name, method)
        return method.__get__(instance, cls)

    def _standard(self) -> Any:
        """What the standard decorator writes for a class of the same fields."""
        specs = [(each.name, each.type, each) for each in dataclasses.fields(self.owner)]
        twin = dataclasses.make_dataclass("Twin", specs, init=False, frozen=self.frozen, repr=self.name == "__repr__")
        return vars(twin)[self.name]


def _init(owner: type[Any]) -> Any:
    """The standard decorator's ``__init__``, without the two functions that it would write beside a frozen one's."""
    known: dict[str, Any] = {"_set": object.__setattr__, "_factory": _Factory()}
    arguments: dict[bool, list[str]] = {False: [], True: []}
    lines = []
    for each in dataclasses.fields(owner):
        name, default = each.name, f"_default_{each.name}"
        made = each.default_factory is not dataclasses.MISSING
        has_default = made or each.default is not dataclasses.MISSING
        known[default] = each.default_factory if made else each.default
        if each.init:
            given = "_factory" if made else default
            arguments[bool(each.kw_only)].append(f"{name}={given}" if has_default else name)
        value = name if each.init else default
        if made:
            value = f"{default}() if {name} is _factory else {name}" if each.init else f"{default}()"
        if each.init or has_default:
            lines.append(f" _set(self, {name!r}, {value})")
    if hasattr(owner, "__post_init__"):
        lines.append(" self.__post_init__()")
    words = ["self", *arguments[False], *["*"] * bool(arguments[True]), *arguments[True]]
    exec(f"def __init__({', '.join(words)}):\n" + "\n".join(lines or [" pass"]), known)
    known["__init__"].__annotations__ = {each.name: each.type for each in dataclasses.fields(owner) if each.init}
    known["__init__"].__annotations__["return"] = None
    return known["__init__"]


class _Factory:
    """What stands in a signature where a default is made for each record."""

    def __repr__(self) -> str:
        return "<factory>"


def _refuse(_: object, name: str, *__: object) -> NoReturn:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _state(record: Any) -> list[Any]:
    return [getattr(record, each.name) for each in dataclasses.fields(record)]


def _set_state(record: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(record), state, strict=True):
        object.__setattr__(record, each.name, value)


_FROZEN = {"__setattr__": _refuse, "__delattr__": _refuse, "__getstate__": _state, "__setstate__": _set_state}
