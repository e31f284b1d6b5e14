"""How much may be kept, and what the process does with memory that is free and with threads that wait."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

from aligner.records.free_memory import available

_SHARE = 4
"""Part of the free memory that tensors may take: models, their copies and the runtime's own take the rest."""
_MOST = 1 << 30
"""Bytes beyond which keeping tensors gains little: in lockstep they need not be kept."""
_REUSED = 128 << 20
"""Bytes up to which a tensor's pages are worth keeping for the next one."""
_UNCOLLECTED = 100_000
"""Containers that are made before the collector looks for garbage, in a process of our own: what lies about until then
is some 20 MB, and graphs of 10,000 nodes, which hold no garbage, are not gone through a dozen times as they grow."""
_TURNS = "1000"
"""Of the loop in which a thread of libgomp (PyTorch's) waits for its next part of an operator before it sleeps: what
libgomp itself takes where threads outnumber cores, as they do here. Else it is 300,000, milliseconds of the core that
looks at the operator's result: of 100 residual blocks of 4 MiB tensors 0.63 of the CPU time are left."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_budget(limit: int | None) -> int:
    """Bytes of tensors that may be kept of each of two models.

    Of both together it is the user's limit, else a quarter of what is free and at most 1 GiB.
    """
    return (limit if limit is not None else min(_MOST, available() // _SHARE)) // 2


def give_back() -> None:
    """Let the allocator return what was freed; glibc keeps blocks of up to 32 MiB for itself otherwise."""
    import ctypes

    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):
        return


def keep_pages() -> None:
    """Let the allocator hand freed tensors' pages to the next ones instead of asking for zeroed ones each time.

    For a process of our own, before it has threads: the settings stay. One arena for all threads, else each would keep
    pages of its own.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_THRESHOLD, _REUSED)
    mallopt(_TRIM_THRESHOLD, 2 * _REUSED)


def own_process() -> None:
    """Say that the process is the command's alone, which may tune what others share: the library by itself does not.

    The garbage collector has nothing to find while frameworks are imported, and goes on once they are.
    """
    global _own
    _own = True
    gc.disable()
    wait_asleep()


def wait_asleep() -> None:
    """Let threads of OpenMP sleep soon where there is nothing to do, unless the user has said how they wait.

    For a process of our own, before PyTorch is imported: its OpenMP reads the environment as it is loaded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)


def settle() -> None:
    """Frameworks are imported: in a process of our own, keep the collector from going through them again and again."""
    if _own:
        gc.freeze()
        gc.set_threshold(_UNCOLLECTED)
        gc.enable()


def collect(*, aside: bool) -> None:
    """Let go of everything that nothing needs any more; of what ``settle`` set aside, too, where it is asked for.

    That goes through every object of every framework: a twentieth of a short command.
    """
    if _own and aside:
        gc.unfreeze()
    gc.collect()


@contextmanager
def settled() -> Iterator[None]:
    """Keep the garbage collector from going through everything that is there already, frameworks above all.

    That is half a second for each model that is closed, where all of them are loaded. What is new is gone through less
    often meanwhile, as in a process of our own.

    Whoever has frozen objects of his own finds them as they were, and nothing else frozen beside them.
    """
    if gc.get_freeze_count():
        yield
        return
    most, *others = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(most, _UNCOLLECTED) if most else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(most, *others)
        gc.unfreeze()


_own = False
