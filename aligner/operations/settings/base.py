"""What the records of all families share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Along(Settings):
    """What works along one axis."""

    axis: int
