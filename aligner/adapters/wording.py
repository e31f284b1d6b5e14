"""How the users of a framework write what is advised; each adapter names the module that holds its ``WORDING``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, Literal

from aligner.records.dataclass import dataclass

Word = Callable[[Any], str | None]
"""A setting's value → the argument or attribute, None where the framework has none for that value."""
Topic = Literal[
    "inference-mode", "exported-choice", "written-anew", "rounded-division", "loaded-weights", "order-of-blocks"
]
"""What can be advised of beside settings: what dropout and batch norm need; a choice that survives the export; a new
tensor in place of a write through a view; a division with its rounding; how a checkpoint is loaded whole; in which
order channels become pixels."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Words of one framework.

    ``settings``: a setting ("epsilon"), or that of one kind of operation alone ("pad.pads"), and how it is written.
    ``least``: likewise, the least value that the framework's own layers hand on.
    """

    name: str
    settings: Mapping[str, Word] = field(default_factory=dict)
    advice: Mapping[Topic, str] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)

    def written(self, kind: str, settings: Mapping[str, Any]) -> str:
        """Settings of one kind of operation; those that the framework has no word for are left out."""
        words = {name: self.settings.get(f"{kind}.{name}") or self.settings.get(name) for name in settings}
        found = [word(settings[name]) for name, word in words.items() if word is not None]
        return ", ".join(one for one in found if one)


def argument(name: str) -> Word:
    """A keyword argument of Python."""
    return lambda value: None if value is None else f"{name}={as_python(value)}"


def as_python(value: Any) -> str:
    """A value as Python writes it; a number for all axes where they are alike."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return as_python(value[0]) if len(set(value)) == 1 else f"({', '.join(map(as_python, value))})"
    return f'"{value}"' if isinstance(value, str) else str(value)
