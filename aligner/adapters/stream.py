"""Runs in a thread of their own: a framework that pushes tensors (hooks, taps) as an iterator; one that runs ahead."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from typing import Generic, TypeVar

from aligner.records.tensor import CapturedTensor

T = TypeVar("T")


HUGE = 128 << 20
"""Bytes of a tensor from which on no run goes on beside the work on it: its next step may need as much again."""
_AHEAD = 96 << 20
"""Bytes of tensors that a run may be ahead at most, whatever the budget allows. Of a restorer (GFPGAN's size, local
errors) 128 MiB take 5 % more memory and as much time: ``benchmarks.speed --only restorer``."""
_AT_ONCE = 1 << 10
"""Items that wait are taken together up to such a part of the budget: tensors of a few elements take longer to hand
over than to make."""
_SHARE = 4
"""Three runs may be under way, beside what is kept for them."""


def leeway(budget: int) -> int:
    """Bytes of tensors that a run may have made before they are asked for, where ``budget`` may be held in all."""
    return min(_AHEAD, budget // _SHARE)


class RunAbandoned(BaseException):
    """Raised inside the pushing run when nobody wants the rest; never leaves this module's callers.

    A BaseException, so that a model's own ``except Exception`` does not swallow it.
    """


class _Handover(Generic[T]):
    """The producer waits until what it has made and nobody has taken is no more than ``budget``."""

    def __init__(self, budget: int = 0, size: Callable[[T], int] = lambda _: 1) -> None:
        self.condition = threading.Condition()
        self.finished = False
        self.abandoned = False
        self.error: BaseException | None = None
        self._items: deque[T] = deque()
        self._budget, self._size, self._held, self._further = budget, size, 0, 0
        self._wanted = False

    def put(self, item: T) -> None:
        size = self._size(item)
        with self.condition:
            self._items.append(item)
            self._held += size
            del item
            self.condition.notify_all()
            while self._held > self._budget and not self.abandoned:
                self.condition.wait()
            if self.abandoned:
                raise RunAbandoned

    def rest(self) -> None:
        """Wait until everything was taken and the receiver comes back for more."""
        with self.condition:
            while not (self._wanted and not self._items) and not self.abandoned:
                self.condition.wait()
            if self.abandoned:
                raise RunAbandoned

    def take(self) -> deque[T] | None:
        """The next item, with those that wait behind it where all are small (held until the next call); None at the
        end."""
        with self.condition:
            self._wanted = True
            self.condition.notify_all()
            while not self._items and not self.finished:
                self.condition.wait(0.5)  # wakes up now and then so that Ctrl-C is seen
            self._wanted = False
            if not self._items:
                return None
            taken = deque([self._items.popleft()])
            self._held -= self._further + self._size(taken[0])
            self._further = 0
            most = self._budget // _AT_ONCE - self._size(taken[0])
            while self._items and (size := self._size(self._items[0])) <= most - self._further:
                taken.append(self._items.popleft())
                self._further += size
            self.condition.notify_all()
            return taken

    def finish(self, error: BaseException | None) -> None:
        with self.condition:
            self.error, self.finished = error, True
            self.condition.notify_all()

    def abandon(self) -> None:
        with self.condition:
            self.abandoned = True
            self.condition.notify_all()


class Run(Iterator[T]):
    """What a thread of its own makes, item by item; nothing here holds on to an item that was given."""

    def __init__(self, push: Callable[[], None], handover: _Handover[T]) -> None:
        self._push, self._handover = push, handover
        self._thread: threading.Thread | None = None
        self._taken: deque[T] | None = None
        self._over = False

    def begin(self) -> None:
        """Start now, and not only when the first item is asked for."""
        if self._thread is None and not self._over:
            work = threading.Thread(target=_work, args=(self._push, self._handover), name="aligner-run", daemon=True)
            self._thread = work  # which knows nothing of this object: who drops it ends the run
            work.start()

    def __next__(self) -> T:
        self.begin()
        if not self._taken:
            self._taken = None if self._over else self._handover.take()
        if self._taken:
            return self._taken.popleft()
        error = None if self._over else self._handover.error
        self.close()
        if error is not None:
            raise error
        raise StopIteration

    def close(self) -> None:
        """End the run: nobody wants the rest."""
        self._over, self._taken = True, None
        self._handover.abandon()
        if self._thread is not None:
            self._thread.join()

    def __del__(self) -> None:
        self.close()


def _work(push: Callable[[], None], handover: _Handover[T]) -> None:
    try:
        push()
    except RunAbandoned:
        handover.finish(None)
    except BaseException as error:  # noqa: BLE001 - handed to the consumer, which raises it
        handover.finish(error)
    else:
        handover.finish(None)


def stream(push: Callable[[Callable[[T], None]], None], rests: Callable[[T], bool] = lambda _: False) -> Run[T]:
    """Run ``push(emit)`` in a thread of its own and yield what it emits, in order.

    The run goes on as soon as an item was taken; after those for which ``rests`` is true it waits until the receiver
    comes back for more. An exception of the run surfaces at the consumer; closing the iterator makes the next ``emit``
    raise RunAbandoned.
    """

    handover: _Handover[T] = _Handover()

    def emit(item: T) -> None:
        waits = rests(item)
        handover.put(item)
        del item
        if waits:
            handover.rest()

    return Run(lambda: push(emit), handover)


def is_huge(tensor: CapturedTensor) -> bool:
    """Whether a run had better rest while somebody works on the tensor."""
    return bool(tensor.array.nbytes >= HUGE)


def ahead(
    items: Iterator[T],
    budget: int,
    size: Callable[[T], int],
    rests: Callable[[T], bool] = lambda _: False,
    *,
    waits: bool = False,
    begins: bool = False,
) -> Run[T]:
    """The same items, made in a thread of its own that runs ahead by as much as ``budget`` holds, told by ``size``.

    After an item for which ``rests`` is true it waits until the receiver comes back for more; with ``waits`` before the
    first one, too. It starts when the first item is asked for; with ``begins`` now.
    """
    handover = _Handover(budget, size)

    def push() -> None:
        try:
            if waits:
                handover.rest()
            for item in items:
                pauses = rests(item)
                handover.put(item)
                del item  # else it would live until the next one is there
                if pauses:
                    handover.rest()
        finally:
            if isinstance(items, (Generator, Run)):
                items.close()

    drawn = Run(push, handover)
    if begins:
        drawn.begin()
    return drawn
