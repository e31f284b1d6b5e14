"""What was worked out from a weight's numbers, for as long as the weight is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import ref

if TYPE_CHECKING:
    from aligner.records.graph import Weight

T = TypeVar("T")


class Remembered(Generic[T]):
    """One answer for each weight: a weight of gigabytes is read once.

    Weights are told apart by identity: two models hold weights that are equal in all that their records say.
    """

    def __init__(self) -> None:
        self._answers: dict[int, tuple[ref[Weight], T]] = {}

    def of(self, weight: Weight, work_out: Callable[[], T]) -> T:
        """The answer for a weight, worked out where it is asked for the first time."""
        key = id(weight)
        found = self._answers.get(key)
        if found is not None and found[0]() is weight:
            return found[1]
        answer = work_out()
        self._answers[key] = ref(weight, lambda _: self._answers.pop(key, None)), answer
        return answer
