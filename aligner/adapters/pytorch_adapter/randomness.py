"""A run's own sequence of random numbers, though two models run at the same time."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

_generator = threading.Lock()


class OwnRandomness:
    """Starts where torch's default generator stands now; inside ``with`` the default generator is this one.

    So reference and candidate, seeded alike and run in lockstep, draw the same numbers.
    """

    def __init__(self) -> None:
        import torch

        self._state: Any = torch.get_rng_state()
        self._outer: Any = None

    def position(self) -> tuple[Any, Any]:
        """Where the sequence stands, and the default generator."""
        import torch

        return self._state, torch.get_rng_state()

    def has_moved(self, position: tuple[Any, Any]) -> bool:
        """Whether a number was drawn of either since they stood there."""
        import torch

        return not all(map(torch.equal, position, self.position()))

    def __enter__(self) -> None:
        import torch

        _generator.acquire()
        self._outer = torch.get_rng_state()
        torch.set_rng_state(self._state)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import torch

        self._state = torch.get_rng_state()
        torch.set_rng_state(self._outer)
        _generator.release()
