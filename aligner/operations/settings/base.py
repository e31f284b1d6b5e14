"""What the records of all families share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:  # typing has it from Python 3.11 on, and only checkers read it

    def dataclass_transform(**_: bool) -> Callable[[Any], Any]:
        return lambda decorator: decorator


S = TypeVar("S", bound="Settings")
Sizes = tuple[int, ...]
"""One number for each axis."""
Pair = tuple[int, int]
Pairs = tuple[Pair, ...]
"""(begin, end) for each axis."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings(Mapping[str, Any]):
    """Of kinds that need none; ``fused_activation`` and ``range``, the limits of a stored result, any kind may have."""

    fused_activation: str = "none"
    range: tuple[float, float] | None = None

    def __getitem__(self, name: str) -> Any:
        """A setting by its name; raises KeyError for one that is not said."""
        if name not in self._said():
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        """The family's own settings, then what was fused in, where something was."""
        return iter(self._said())

    def __len__(self) -> int:
        """How many are said."""
        return len(self._said())

    def _said(self) -> list[str]:
        fused = [name for name, plain in _FUSED.items() if getattr(self, name) != plain]
        return [field.name for field in fields(self) if field.name not in _FUSED] + fused


_FUSED = {"fused_activation": "none", "range": None}


_OF_KIND: dict[str, type[Settings]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def of(*kinds: str) -> Callable[[type[S]], type[S]]:
    """Make a frozen record, that of the settings of these kinds; of none where others are made from it."""

    def register(family: type[S]) -> type[S]:
        record = dataclass(frozen=True, slots=True, kw_only=True, eq=False)(family)
        _OF_KIND.update(dict.fromkeys(kinds, record))
        return record

    return register


def told_kinds() -> frozenset[str]:
    """The kinds that are told anything of their own."""
    return frozenset(_OF_KIND)


def family_of(kind: str) -> type[Settings]:
    """The record of a kind's settings; ``Settings`` itself where it has none."""
    return _OF_KIND.get(kind, Settings)


@of("lookup", "gather_elements", "concat", "stack", "glu", "prelu")
class Along(Settings):
    """What works along one axis."""

    axis: int
