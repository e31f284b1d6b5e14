"""A run's own stream of random numbers, so that runs that alternate do not disturb each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from aligner.adapters.stream import stream
from aligner.records.tensor import CapturedTensor

Emit = Callable[[CapturedTensor], None]


def stream_in_step(push: Callable[[Emit], None]) -> Iterator[CapturedTensor]:
    """Like ``stream``, but the run rests while the receiver works: they share one generator of random numbers.

    The handover has one slot. Two blanks behind each tensor fill it until the receiver comes back for more.
    """

    def spaced(emit: Callable[[CapturedTensor | None], None]) -> None:
        def hand_over(tensor: CapturedTensor) -> None:
            for item in (tensor, None, None):
                emit(item)

        push(hand_over)

    with closing(stream(spaced)) as items:  # type: ignore[type-var]  # a generator, declared as an iterator
        for item in items:
            if item is not None:
                yield item


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
