"""Work dealt to a Dask cluster: batches that any worker may do, and do again, in a process of its own that it keeps."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aligner.errors import ComparisonError, CrashError
from aligner.execution.confinement import Bounds
from aligner.execution.own_process import OwnProcess
from aligner.records.free_memory import available

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")

_PER_WORKER, _AT_LEAST = 8, 1000
"""Batches for each worker: the last one to finish keeps the others waiting for at most an eighth of its share; and in
all: what is under way when the work is interrupted, and lost, is a thousandth for each worker."""
_EXTRA = 'pip install "aligner[dask]", here and on the workers'

_kept: tuple[str, OwnProcess] | None = None
_let_gone: str | None = None
_keeping = threading.Lock()
"""On a worker: one comparison at a time, however many threads it has."""


def connected(cluster: object) -> tuple[Client, bool]:
    """A client of a running cluster, and whether it is ours to close.

    ``cluster`` is a scheduler's address, its file, or a client. Raises ComparisonError where none answers, or where a
    worker has another version of aligner.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise ComparisonError.of("Dask is not installed", error, _EXTRA) from error
    if isinstance(cluster, Client):
        _check_workers(cluster)
        return cluster, False
    word = str(cluster)
    how: dict[str, Any] = {"scheduler_file": word} if Path(word).is_file() else {"address": word}
    try:
        client = Client(**how, timeout=10, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        hint = "give a running scheduler's address (tcp://host:8786) or its file"
        raise ComparisonError(f"no Dask scheduler answers at {word}", found=str(error), hint=hint) from error
    try:
        _check_workers(client)
    except BaseException:
        client.close()
        raise
    return client, True


def batches(client: Client, items: Sequence[T]) -> list[Sequence[T]]:
    """The items, dealt in turn: neighbours are often alike, and cost alike."""
    workers = len(client.scheduler_info(n_workers=-1)["workers"])
    many = min(len(items), max(_PER_WORKER * workers, _AT_LEAST))
    return [items[start::many] for start in range(many)]


def answers(
    client: Client, function: Callable[..., T], calls: Sequence[tuple[Any, ...]], bounds: Bounds | None
) -> Generator[T, None, None]:
    """What the function gives for each call, in the order in which they are done. A worker that dies loses nothing.

    ``bounds`` confine the process in which it runs. Raises what it raises; ComparisonError where batches kill workers.
    """
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    key = uuid.uuid4().hex
    tasks = [
        client.submit(_done, key, bounds, function, call, key=f"aligner-{key}-{at}") for at, call in enumerate(calls)
    ]
    try:
        for task in as_completed(tasks, loop=client.loop):
            yield task.result()
    except KilledWorker as error:
        hint = "look into the workers' logs; give them more memory, or look for the sample by sweeping here"
        raise ComparisonError.of("workers of the Dask cluster died again and again", error, hint) from error
    finally:
        client.cancel(tasks)
        client.run(_let_go, key, on_error="ignore")


def _check_workers(client: Client) -> None:
    from importlib.metadata import version

    here = version("aligner")
    found = client.get_versions(packages=["aligner"])["workers"]
    if not found:
        raise ComparisonError("the Dask cluster has no workers", found="none", hint="start some: dask worker ADDRESS")
    for worker, versions in sorted(found.items()):
        there = versions["packages"].get("aligner")
        if there != here:
            raise ComparisonError(
                "a Dask worker has another aligner",
                found=f"{worker} has {there or 'none'}, here is {here}",
                hint=_EXTRA,
            )


def _done(key: str, bounds: Bounds | None, function: Callable[..., T], call: tuple[Any, ...]) -> T | None:
    """On a worker: the call, in the process that is kept for this work."""
    global _kept
    with _keeping:
        if key == _let_gone:  # dealt before it was cancelled: nobody asks any more
            return None
        if _kept is None or _kept[0] != key:
            _end()
            _kept = key, _process(bounds)
        try:
            return _kept[1].call(function, *call)
        except CrashError:
            _end()
            raise


def _process(bounds: Bounds | None) -> OwnProcess:
    """What is free was counted where the command runs; here it is what is free here."""
    if bounds is not None and bounds.memory is not None:
        bounds = replace(bounds, memory=min(bounds.memory, available()))
    return OwnProcess(bounds and replace(bounds, writes=()))


def _let_go(key: str) -> None:
    """At once: what is under way ends, nobody will hear of it."""
    global _let_gone
    _let_gone, kept = key, _kept
    if kept is not None and kept[0] == key:
        kept[1].kill()
    with _keeping:
        if _kept is not None and _kept[0] == key:
            _end()


def _end() -> None:
    global _kept
    if _kept is not None:
        _kept[1].close()
    _kept = None
