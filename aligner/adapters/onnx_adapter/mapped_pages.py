"""Pages of mapped weights, given back to the kernel while a runtime packs them into memory of its own."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_WORTH_IT = 256 << 20
"""Bytes from which it is done: less than what importing the frameworks takes."""
_EVERY = 0.1
"""Seconds between two rounds: at a disk's 2 GB/s some 200 MB are mapped meanwhile."""


@contextmanager
def given_back(arrays: Iterable[Any]) -> Iterator[None]:
    """While this lasts, and at its end, no page of these arrays' files stays resident for long.

    A runtime reads each weight once to pack it; read again, a page comes from the kernel's cache. Arrays that are not
    mapped, and systems without ``madvise``, are left as they are.
    """
    maps = {id(found): found for array in arrays if (found := _mapped(array)) is not None}
    if sum(map(len, maps.values())) < _WORTH_IT or not hasattr(mmap, "MADV_DONTNEED"):
        yield
        return
    done = threading.Event()

    def rounds() -> None:
        while not done.wait(_EVERY):
            _drop(maps.values())

    thread = threading.Thread(target=rounds, name="mapped pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _drop(maps.values())


def _drop(maps: Iterable[mmap.mmap]) -> None:
    for one in maps:
        one.madvise(mmap.MADV_DONTNEED)


def _mapped(array: Any) -> mmap.mmap | None:
    """The map that a view of a file stands on."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array
