"""Start every run from the same random numbers, and leave the caller's where they stood."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aligner.adapters import generators
from aligner.adapters.generators import Restore

_entered: list[dict[str, Restore]] = []
"""For each block of ``undisturbed`` that runs, library by library, what brings its generators back."""


def seed_everything(seed: int) -> None:
    """Seed Python's global generator, NumPy's and the frameworks', as far as these are loaded."""
    for states in _entered:
        _remember(states)
    random.seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(seed % (1 << 32))
    generators.seed(seed)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave Python's, NumPy's and the frameworks' global generators as found, those too that a block loads."""
    states: dict[str, Restore] = {}
    _remember(states)
    _entered.append(states)
    try:
        yield
    finally:
        _entered.remove(states)
        for restore in states.values():
            restore()


class OwnDraws:
    """Random numbers of code that runs now and then among runs of models, which start from the same ones each time."""

    def __init__(self) -> None:
        self._states: dict[str, Restore] = {}
        _remember(self._states)

    @contextmanager
    def resumed(self) -> Iterator[None]:
        """The generators go on from where this code left them, and are left as found."""
        with undisturbed():
            for restore in self._states.values():
                restore()
            try:
                yield
            finally:
                self._states = {}
                _remember(self._states)


def _remember(states: dict[str, Restore]) -> None:
    """Take down where each generator stands that has not been taken down yet."""
    if "random" not in states:
        state = random.getstate()
        states["random"] = lambda: random.setstate(state)
    for name, taken in (("numpy", _numpy_state), *generators.STATES.items()):
        if name not in states and (restore := taken()) is not None:
            states[name] = restore


def _numpy_state() -> Restore | None:
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        return None
    state = numpy.random.get_state()
    return lambda: numpy.random.set_state(state)
