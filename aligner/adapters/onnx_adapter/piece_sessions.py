"""Sessions of small pieces of a model, kept for the next runs of the same piece: a draw and its opposite."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from aligner.adapters.onnx_adapter.program import Piece

_KEPT = 4
"""Pieces: those that take turns are two or three, the test of a region and its readers'."""
_SMALL = 4 << 20
"""Bytes of a piece up to which it is kept, so that all of them take less than one segment's tensors may."""


@dataclass(slots=True)
class PieceSessions:
    """The sessions made last, each with the piece that its weights lie in."""

    _known: OrderedDict[Hashable, tuple[Any, Piece]] = field(default_factory=OrderedDict)

    def session(self, key: Hashable | None, piece: Callable[[], Piece], started: Callable[[Piece], Any]) -> Any:
        """The session of a piece, made where it is not known; None as the key: not to be kept."""
        found = self._known.pop(key, None)
        if found is None:
            made = piece()
            found = started(made), made
            weights = sum(array.nbytes for array in made.keep_alive)
            if key is None or made.model.ByteSize() + weights > _SMALL:
                return found[0]
        self._known[key] = found
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found[0]
