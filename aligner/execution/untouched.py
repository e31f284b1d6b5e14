"""What the untouched models answer. A model that draws from no shared generator runs beside other work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from aligner.adapters.base import Feeds
from aligner.execution.side import OpenSide
from aligner.records import progress
from aligner.records.tensor import CapturedTensor

Answer = tuple[CapturedTensor, ...]


class Untouched:
    """Runs untouched models, those that can in a thread of their own; leaving the context waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "aligner-untouched")
        self._begun: dict[str, tuple[Feeds, Future[Answer]]] = {}

    def begin(self, sides: Sequence[OpenSide]) -> None:
        """Start the runs that can go on by themselves, in that order."""
        for side in sides:
            if side.session.capabilities.predicts_aside:
                self._begun[side.role] = side.feeds, self._thread.submit(_aside, side)

    def of(self, side: OpenSide) -> Answer:
        """The side's outputs for what it is fed now; raises what the run raised."""
        feeds, running = self._begun.pop(side.role, (None, None))
        return side.predict() if running is None or feeds is not side.feeds else running.result()

    def __enter__(self) -> Untouched:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)


def _aside(side: OpenSide) -> Answer:
    with progress.aside():
        return side.predict()
