"""A run's own stream of random numbers, so that runs that alternate do not disturb each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class RandomStream:
    """Starts where the process's generator stands when this is made, and leaves that one where it was.

    Two runs of a session thus see the same numbers, and a seed that the caller sets is honoured.
    """

    def __init__(self) -> None:
        import torch

        self._own = torch.random.get_rng_state()
        self._outer: Any = None

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this stream within the block."""
        self._switch_in()
        try:
            yield
        finally:
            self._switch_out()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Give the process its generator back within the block, for as long as somebody else's turn takes."""
        self._switch_out()
        try:
            yield
        finally:
            self._switch_in()

    def _switch_in(self) -> None:
        import torch

        self._outer = torch.random.get_rng_state()
        torch.random.set_rng_state(self._own)

    def _switch_out(self) -> None:
        import torch

        self._own = torch.random.get_rng_state()
        torch.random.set_rng_state(self._outer)
