"""Values that are shown in one run, as many as there is room for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

Value = TypeVar("Value")


def batches(sized: Iterable[tuple[Value, int]], budget: int) -> Iterator[list[Value]]:
    """Values, each with its bytes, in their order: lists of at most ``budget`` bytes, or of one that is larger."""
    batch: list[Value] = []
    size = 0
    for value, own in sized:
        if batch and size + own > budget:
            yield batch
            batch, size = [], 0
        batch.append(value)
        size += own
    if batch:
        yield batch
