"""Processes of their own on this machine that share calls; what one of them loses, another does again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from types import TracebackType
from typing import Any, TypeVar

from aligner.errors import CrashError
from aligner.execution.confinement import Bounds
from aligner.execution.own_process import OwnProcess

T = TypeVar("T")

_AHEAD = 2
"""Calls that are ready for each process: it need not wait until the next one is made."""


class Workers:
    """So many processes, each kept from call to call; ended when the context is left, whatever they do.

    ``first``: a function, and what it is called with in each process before anything else.
    """

    def __init__(self, many: int, first: tuple[Callable[..., object], Sequence[Any]], bounds: Bounds | None) -> None:
        self._many, self._first, self._bounds = many, first, bounds
        self._threads = ThreadPoolExecutor(many)
        self._own = threading.local()
        self._started: list[OwnProcess] = []
        self._over = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: TracebackType | object) -> None:
        self._over = True
        for process in list(self._started):
            process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._started:
            process.close()

    def answers(self, function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """What the function gives for each call, in the order in which they are done; calls are made as needed.

        Raises what it raises; CrashError where a call ends two processes, or one by the time limit.
        """
        left, waiting = iter(calls), set[Future[T]]()
        while True:
            for call in islice(left, _AHEAD * self._many - len(waiting)):
                waiting.add(self._threads.submit(self._answer, function, call))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for one in done:
                yield one.result()

    def _answer(self, function: Callable[..., T], call: tuple[Any, ...]) -> T:
        try:
            return self._process().call(function, *call)
        except CrashError as error:
            self._own.process = None
            if self._over or error.of_time:
                raise
        try:
            return self._process().call(function, *call)
        except CrashError:
            self._own.process = None
            raise

    def _process(self) -> OwnProcess:
        """That of this thread."""
        process: OwnProcess | None = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = OwnProcess(self._bounds)
            self._started.append(process)
            if self._over:  # too late to be among those that are ended
                process.kill()
            process.call(self._first[0], *self._first[1])
        return process
