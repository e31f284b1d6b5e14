"""Which layer an operation belongs to, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property

from aligner.adapters.tensorflow_adapter.program import Program, shown_name

_COUNTED = re.compile(r"_\d+$")


class Scopes:
    """Paths of layers, "backbone.conv1", from the scopes in operations' names.

    Keras enters a layer's scope twice for each call, once to build it, so that TensorFlow counts the second one up:
    the operations of "conv" stand in "conv_1", those of "conv_1" in "conv_1_1".
    """

    def __init__(self, program: Program, operations: Iterable[str]) -> None:
        paths = [*program.layers, *program.variables.values()]
        self._known = {segment for path in paths for segment in path.split("/")}
        scoped = [parts for name in operations if len(parts := shown_name(name).split("/")) > 1]
        roots = {parts[0] for parts in scoped}
        self._root = next(iter(roots)) if len(roots) == 1 and all(len(parts) > 2 for parts in scoped) else None
        self._named = {path.replace("/", ".") for path in program.layers}
        self._scopes = [(name, path) for name in operations if (path := self.of(name))]

    def of(self, operation: str) -> str | None:
        """The path, None at the top; no deeper than layers go, where these are known."""
        return self.call(operation)[0] or None

    def call(self, operation: str) -> tuple[str, str]:
        """The path, and the scope as this call of the layer spells it."""
        parts = shown_name(operation).split("/")[:-1]
        if parts and parts[0] == self._root:
            parts = parts[1:]
        segments = list(map(self._segment, parts))
        for count in range(len(segments), 0, -1):
            if (path := ".".join(segments[:count])) in self._named:
                return path, "/".join(parts[:count])
        return ".".join(segments), "/".join(parts)

    def _segment(self, text: str) -> str:
        plain = _COUNTED.sub("", text)
        return plain if plain in self._known else text

    def ends(self, operation: str) -> list[str]:
        """The layers whose last operation this is."""
        return self._ends.get(operation, [])

    @cached_property
    def _ends(self) -> dict[str, list[str]]:
        last: dict[str, str] = {}
        for name, path in self._scopes:
            parts = path.split(".")
            for count in range(len(parts), 0, -1):
                whole = ".".join(parts[:count])
                if whole in self._named:
                    last[whole] = name
        found: dict[str, list[str]] = {}
        for path, name in last.items():
            found.setdefault(name, []).append(path)
        return found
