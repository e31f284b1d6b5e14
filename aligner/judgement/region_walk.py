"""Where a set of candidate values leads to, pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from aligner.operations.kinds import COPIES
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

Guilty = Callable[[str], bool]


class RegionWalk:
    """``free`` holds the values of earlier regions that are left to the candidate: ways out lead through them."""

    def __init__(self, measured: Sequence[Measured], candidate: Graph | None = None) -> None:
        self.items = {item.pair.candidate: item for item in measured}
        self.place = {value: place for place, value in enumerate(self.items)}
        self.free: set[str] = set()
        self._graph_outputs = list(dict.fromkeys(candidate.outputs)) if candidate is not None else []
        self._nodes = candidate.nodes if candidate is not None else ()
        self._readers: dict[str, list[str]] = {}
        for item in measured:
            for value in dict.fromkeys(item.pair.candidate_region.inputs):
                self._readers.setdefault(value, []).append(item.pair.candidate)

    def inputs(self, value: str) -> tuple[str, ...]:
        """The paired values that a value's region starts from."""
        return self.items[value].pair.candidate_region.inputs if value in self.items else ()

    def with_copies(self, values: Collection[str]) -> set[str]:
        """Values and what only renames them or stores them otherwise: one tensor, quantised and back."""
        stack, found = list(values), set(values)
        while stack:
            for reader in self._readers.get(stack.pop(), ()):
                if reader not in found and self._is_copy(reader):
                    found.add(reader)
                    stack.append(reader)
        return found

    def _is_copy(self, value: str) -> bool:
        region = self.items[value].pair.candidate_region
        nodes = [self._nodes[index] for index in region.nodes]
        return len(region.inputs) == 1 and bool(nodes) and all(node.kind in COPIES for node in nodes)

    def reached(self, inside: Collection[str]) -> set[str]:
        """The region and what earlier ones left free that it flows into."""
        stack, reached = list(inside), set(inside)
        while stack:
            for reader in self._readers.get(stack.pop(), ()):
                if reader in self.free and reader not in reached:
                    reached.add(reader)
                    stack.append(reader)
        return reached

    def exits(self, inside: Collection[str]) -> list[str]:
        """The paired values that read what is in the region and are not in it, in order."""
        reached = self.reached(inside)
        found = {r for value in reached for r in self._readers.get(value, ()) if r not in reached}
        return sorted(found, key=self.place.__getitem__)

    def outputs(self, inside: Collection[str]) -> list[str]:
        """The outputs of the graph among the region's own values."""
        reached = self.reached(inside)
        return [value for value in self._graph_outputs if value in reached]

    def ahead(self, inside: Collection[str], guilty: Guilty) -> bool:
        """Whether anything that errs itself, and could be the other half, reads what leaves the region."""
        stack, seen = list(inside), set(inside)
        while stack:
            for reader in self._readers.get(stack.pop(), ()):
                if reader not in seen:
                    beside = set(self.inputs(reader)) - seen - self.free
                    if any(guilty(value) for value in (reader, *beside)):
                        return True
                    seen.add(reader)
                    stack.append(reader)
        return False

    def beside(self, wrong: Sequence[str], inside: Collection[str], guilty: Guilty) -> list[str]:
        """What else feeds a wrong exit and errs itself: a second wrong pair, or the other half of a rewrite."""
        found: dict[str, None] = {}
        stack = [*wrong, *sorted(inside)]
        while stack:
            for value in self.inputs(stack.pop()):
                if value not in inside and value not in self.free and value not in found and guilty(value):
                    found[value] = None
                    stack.append(value)
        return list(found)
