"""Sums over blocks that fit a core's cache: each row in its own precision, rows added up in float64."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")

BLOCK = 1 << 17
"""Elements of a block."""
ROW = 1 << 13
"""Elements of a row: few enough for a BLAS not to wake its threads, which would keep a core busy waiting for more."""


def dot(left: NDArray[Any], right: NDArray[Any]) -> float:
    """The inner product of two flat, contiguous arrays of one float dtype."""
    import numpy as np

    whole = left.size - left.size % ROW
    total = float(left[whole:] @ right[whole:])
    if whole:
        rows = left[:whole].reshape(-1, 1, ROW), right[:whole].reshape(-1, ROW, 1)
        total += float(np.matmul(*rows).sum(dtype=np.float64))
    return total


def total(array: NDArray[Any]) -> float:
    """The sum of a flat, contiguous array."""
    import numpy as np

    whole = array.size - array.size % ROW
    rest = float(array[whole:].sum())
    return rest + float(array[:whole].reshape(-1, ROW).sum(axis=1).sum(dtype=np.float64))


class Workspace:
    """Arrays for what is computed block by block; an allocator would ask for new pages for each."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, str], NDArray[Any]] = {}

    def room(self, use: str, size: int, dtype: DTypeLike) -> NDArray[Any]:
        """An array of that many elements with arbitrary content, the same one each time for one use."""
        import numpy as np

        key = use, np.dtype(dtype).char
        if key not in self._arrays or self._arrays[key].size < size:
            self._arrays[key] = np.empty(size, dtype)
        return self._arrays[key][:size]


_WORTHWHILE = 1 << 20
"""Elements from which on a second core is asked for help."""


def in_parts(size: int, work: Callable[[int, int], T]) -> list[T]:
    """What ``work(begin, end)`` answers for consecutive ranges that make up ``size``, cut between blocks."""
    helper = _helper() if size >= _WORTHWHILE else None
    if helper is None:
        return [work(0, size)]
    middle = size // BLOCK // 2 * BLOCK
    second = helper.submit(work, middle, size)
    return [work(0, middle), second.result()]


@functools.cache
def _helper() -> ThreadPoolExecutor | None:
    return ThreadPoolExecutor(1, "aligner-blocks") if (os.cpu_count() or 1) > 1 else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helper.cache_clear)  # the thread does not live on in a child
