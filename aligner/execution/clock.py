"""Seconds by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """Adds up what each phase takes, from the moment it is made."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def timing(self) -> dict[str, float]:
        """Seconds by phase so far, and in all."""
        return {name: round(value, 4) for name, value in self.seconds.items()} | {
            "total": round(time.perf_counter() - self._start, 4)
        }
