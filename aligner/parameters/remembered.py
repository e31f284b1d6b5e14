"""What was worked out from a weight's numbers, or from a graph, for as long as it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class Remembered(Generic[T]):
    """One answer for each weight, or graph: a weight of gigabytes is read once.

    They are told apart by identity: two models hold weights that are equal in all that their records say.
    """

    def __init__(self) -> None:
        self._answers: dict[int, tuple[ref[Any], T]] = {}

    def of(self, held: object, work_out: Callable[[], T]) -> T:
        """The answer for it, worked out where it is asked for the first time."""
        key = id(held)
        found = self._answers.get(key)
        if found is not None and found[0]() is held:
            return found[1]
        answer = work_out()
        self._answers[key] = ref(held, lambda _: self._answers.pop(key, None)), answer
        return answer
