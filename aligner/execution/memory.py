"""How much may be kept, and what the process does with memory that is free."""

from __future__ import annotations

import gc
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
