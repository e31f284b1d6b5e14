"""Whether tensors of the two sides look like one and the same, by their sketches, their sizes and what makes them."""

from __future__ import annotations

from collections.abc import Mapping

from aligner.alignment.compatibility import SAME_TENSOR, agree, distance
from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import AFFINE, neutral_element
from aligner.records.alignment import Sketch

_STEPS_BACK = 3
"""Nodes in a row that one side alone may have."""
_CLEARLY_NEARER = 100.0
"""How many times as near another tensor has to be."""
_ROUNDING = 1e-6
"""Relative difference of sketches that the order of a sum makes: one tensor. No answer hangs on these three: neither
half nor twice of one changes any (``benchmarks.properties.constants --room alignment``, seeds 0:30)."""


class Likeness:
    """``second`` are sketches of the candidate's tensors on the reference's, where that was looked at."""

    def __init__(self, reference: Skeleton, candidate: Skeleton, second: Mapping[str, Sketch]) -> None:
        self.reference, self.candidate, self._second = reference, candidate, second

    def distance(self, left: str, right: str) -> float | None:
        """How far apart their sketches are, in the run in which they are nearest; None where none can tell."""
        found = [distance(self.reference.sketches.get(left), seen.get(right)) for seen in self._seen()]
        return min((one for one in found if one is not None), default=None)

    def same(self, left: str, right: str) -> bool | None:
        """Whether two tensors look like the same one, in whichever run; None where sketches cannot tell."""
        found = [agree(self.reference.sketches.get(left), seen.get(right)) for seen in self._seen()]
        return True if True in found else found[0]

    def surely_same(self, left: str, right: str) -> bool:
        """Whether sketches say so."""
        return bool(self.same(left, right))

    def alike(self, left: str, right: str) -> bool:
        """Whether two tensors are of one size, and made by nodes of one kind."""
        sizes = self.reference.size(left), self.candidate.size(right)
        if None in sizes or sizes[0] != sizes[1]:
            return False
        producers = (
            self.reference.producer.get(self.reference.root(left)),
            self.candidate.producer.get(self.candidate.root(right)),
        )
        if None in producers:
            return producers == (None, None)
        a, b = producers
        return a is not None and b is not None and a.kind == b.kind

    def without_extra(self, left: str, right: str) -> tuple[str, str]:
        """Step over nodes that one side alone has (a lost rounding, a dropped activation), where the tensors say so."""
        here = self.distance(left, right)
        if here is None or here <= _ROUNDING or self._stands_for(left, right):
            return left, right
        options = [(value, right) for value in self._upstream(self.reference, left)]
        options += [(left, value) for value in self._upstream(self.candidate, right)]
        for option in options:
            there = self.distance(*option)
            if there is not None and there <= min(SAME_TENSOR, here / _CLEARLY_NEARER):
                return self._of_one_kind(*option)
        return left, right

    def _stands_for(self, left: str, right: str) -> bool:
        """Whether one of two scales or shifts changes nothing and is known to stand where the other does."""
        makers = self.reference.producer.get(left), self.candidate.producer.get(right)
        if makers[0] is None or makers[1] is None or makers[0].kind not in AFFINE or makers[1].kind not in AFFINE:
            return False
        idle = makers[0].index in self.reference.computing or makers[1].index in self.candidate.computing
        return idle and neutral_element(makers[0].kind) == neutral_element(makers[1].kind)

    def _of_one_kind(self, left: str, right: str) -> tuple[str, str]:
        """The same tensor before nodes that change none of its numbers (an idle clip), where its kind is.

        What follows on either side is then told by its own nodes.
        """
        for option in [(left, right), *((left, value) for value in self._upstream(self.candidate, right))]:
            if option[1] != right and not self.surely_same(*option):
                break
            if self.alike(*option):
                return option
        for value in self._upstream(self.reference, left):
            if not self.surely_same(value, right):
                break
            if self.alike(value, right):
                return value, right
        return left, right

    def _seen(self) -> tuple[Mapping[str, Sketch], ...]:
        """The candidate's tensors as it computes them by itself, and on the reference's where that was looked at."""
        return (self.candidate.sketches, self._second) if self._second else (self.candidate.sketches,)

    @staticmethod
    def _upstream(skeleton: Skeleton, value: str) -> list[str]:
        """Tensors of the same size that a few nodes of one data input turn into this one, nearest first."""
        found: list[str] = []
        for _ in range(_STEPS_BACK):
            node = skeleton.producer.get(value)
            data = skeleton.data_inputs(node) if node is not None else []
            if len(data) != 1 or skeleton.size(data[0]) != skeleton.size(value):
                break
            value = skeleton.root(data[0])
            found.append(value)
        return found
