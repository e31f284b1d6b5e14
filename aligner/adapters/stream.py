"""Turn a framework that pushes tensors (hooks, taps) into an iterator that hands them over one at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class RunAbandoned(BaseException):
    """Raised inside the pushing run when nobody wants the rest; never leaves this module's callers.

    A BaseException, so that a model's own ``except Exception`` does not swallow it.
    """


class _Handover(Generic[T]):
    """One slot: the producer waits until its item was taken, so at most one tensor is in flight."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.items: list[T] = []
        self.finished = False
        self.abandoned = False
        self.error: BaseException | None = None

    def put(self, item: T) -> None:
        with self.condition:
            while self.items and not self.abandoned:
                self.condition.wait()
            if self.abandoned:
                raise RunAbandoned
            self.items.append(item)
            self.condition.notify_all()

    def finish(self, error: BaseException | None) -> None:
        with self.condition:
            self.error, self.finished = error, True
            self.condition.notify_all()

    def abandon(self) -> None:
        with self.condition:
            self.abandoned = True
            self.condition.notify_all()


def stream(push: Callable[[Callable[[T], None]], None]) -> Iterator[T]:
    """Run ``push(emit)`` in a thread of its own and yield what it emits, in order.

    An exception of the run surfaces at the consumer; closing the iterator makes the next ``emit`` raise RunAbandoned.
    """
    handover: _Handover[T] = _Handover()

    def work() -> None:
        try:
            push(handover.put)
        except RunAbandoned:
            handover.finish(None)
        except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
            handover.finish(error)
        else:
            handover.finish(None)

    thread = threading.Thread(target=work, name="aligner-run", daemon=True)
    thread.start()
    try:
        while True:
            with handover.condition:
                while not handover.items and not handover.finished:
                    handover.condition.wait(0.5)  # wakes up now and then so that Ctrl-C is seen
                if not handover.items:
                    break
                item = handover.items.pop()
                handover.condition.notify_all()
            yield item
            del item
        if handover.error is not None:
            raise handover.error
    finally:
        handover.abandon()
        thread.join()
