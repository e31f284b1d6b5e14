"""Causes that concern a whole comparison and no culprit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from aligner.causes.context import Context
from aligner.records.comparison import Finding


class GlobalCause(ABC):
    """One such cause; a subclass with an ``id`` is found without being registered anywhere."""

    id: ClassVar[str] = ""
    fix: ClassVar[str] = ""
    """What helps. One class of an id says it, and an example."""
    example: ClassVar[str] = ""
    shown: ClassVar[str] = "Seen in the comparison as a whole."
    registry: ClassVar[list[type[GlobalCause]]] = []

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.id:
            GlobalCause.registry.append(cls)

    @abstractmethod
    def findings(self, context: Context) -> Iterator[Finding]:
        """What is found."""
