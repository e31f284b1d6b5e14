"""Where a set of values leads to, pair by pair, on the side that computes; pairs go by their candidate value."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Sequence
from functools import cached_property

from aligner.operations.kinds import ELEMENTWISE, LAYOUT, MOVES_DATA
from aligner.records.graph import Graph
from aligner.records.measurement import Measured

STEPS = 8
LARGEST = 40
"""A region grows for so many steps, to so many pairs."""
_ALONE = 3
"""Steps that it grows on when nothing ahead errs itself: a masked number is forgotten by the softmax."""

Guilty = Callable[[str], bool]


class RegionWalk:
    """``free`` holds the values of earlier regions that are left to the candidate: ways out lead through them."""

    def __init__(
        self,
        measured: Sequence[Measured] = (),
        graph: Graph | None = None,
        side: int = 1,
        apart: Collection[str] = (),
    ) -> None:
        """``graph``: that of the side that computes, which is the reference (0) against a recording; ``apart``: outputs
        that are held in an order of their own, by candidate value: what else reads them alone leaves a region."""
        self.items = {item.pair.candidate: item for item in measured}
        self.free: set[str] = set()
        self._side, self._nodes, self._apart = side, graph.nodes if graph is not None else (), apart
        self._ends = graph.outputs if graph is not None else ()

    @cached_property
    def place(self) -> dict[str, int]:
        """The order of the values."""
        return {value: place for place, value in enumerate(self.items)}

    @cached_property
    def _held(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for value, item in self.items.items():
            found.setdefault(item.pair.values[self._side], []).append(value)
        return found

    @cached_property
    def _graph_outputs(self) -> list[str]:
        held = (value for name in dict.fromkeys(self._ends) for value in self._held.get(name, ()))
        return [value for value in held if value not in self._apart]

    @cached_property
    def _readers(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for reader in self.items:
            for value in dict.fromkeys(self.inputs(reader)):
                if value != reader:
                    found.setdefault(value, []).append(reader)
        return found

    @cached_property
    def _copies(self) -> set[str]:
        return {value for value in self.items if len(self.inputs(value)) == 1 and self._is_of(value, LAYOUT)}

    def inputs(self, value: str) -> tuple[str, ...]:
        """The paired values that a value's region starts from."""
        if value not in self.items:
            return ()
        names = self.items[value].pair.regions[self._side].inputs
        return names if self._side else tuple(found for name in names for found in self._held.get(name, ()))

    def readers(self, values: Collection[str]) -> set[str]:
        """The values whose regions start from some others, those not among them."""
        return set(self.behind(values, ())) - set(values)

    def behind(self, values: Iterable[str], among: Container[str] | None = None) -> dict[str, None]:
        """What is computed from some values by way of those ``among`` some alone; None: whatever lies between."""
        stack, found = list(values), dict[str, None]()
        while stack:
            for reader in self._readers.get(stack.pop(), ()):
                if reader not in found:
                    found[reader] = None
                    stack += [reader] if among is None or reader in among else []
        return found

    def before(self, values: Iterable[str], among: Container[str] | None = None) -> set[str]:
        """What some values are computed from, by way of those ``among`` some alone and no further."""
        stack, found = list(values), set[str]()
        while stack:
            new = {name for name in self.inputs(stack.pop()) if among is None or name in among} - found
            found |= new
            stack += new
        return found

    def between(self, values: Collection[str]) -> set[str]:
        """Values with all on a way from one of them to another, and with their copies."""
        return self.with_copies(values) | (self.behind(values).keys() & self.before(values))

    def adrift(self, start: str, differs: Guilty, guilty: Guilty) -> set[str]:
        """What a value leads to by way of what differs, with what errs and feeds into that."""
        found = self.with_copies([start])
        stack, feeding = [*found], set[str]()
        while stack:
            value = stack.pop()
            new = self.with_copies(filter(differs, self._readers.get(value, ()))) - found
            beside = {one for one in self.inputs(value) if guilty(one)} - found - new if value not in feeding else set()
            feeding |= beside
            found |= new | beside
            stack += [*new, *beside]
        return found

    def with_copies(self, values: Iterable[str]) -> set[str]:
        """Values and what only renames, moves or stores them otherwise: one tensor, quantised and back, or a view."""
        kept = set(values)
        return kept | set(filter(self._copies.__contains__, self.behind(kept, self._copies)))

    def _is_of(self, value: str, kinds: Collection[str]) -> bool:
        nodes = self.items[value].pair.regions[self._side].nodes if value in self.items else ()
        return bool(nodes) and all(self._nodes[index].kind in kinds for index in nodes)

    def _fed(self, value: str, guilty: Guilty, sums: int = 1) -> dict[str, None]:
        """The guilty values that one is computed from, and the way from them: what moves a tensor, or computes of each
        element by itself, so that another form of the tensor stays one. ``sums``: so many of several tensors."""
        found: dict[str, None] = {}
        for name in self.inputs(value):
            left = sums - (len(self.inputs(name)) > 1)
            if guilty(name):
                found[name] = None
            elif left >= 0 and self._is_of(name, MOVES_DATA | ELEMENTWISE) and (way := self._fed(name, guilty, left)):
                found |= {name: None, **way}
        return found

    def reached(self, inside: Collection[str]) -> set[str]:
        """The region and what earlier ones left free that it flows into."""
        return {*inside, *filter(self.free.__contains__, self.behind(inside, self.free))}

    def exits(self, inside: Collection[str]) -> list[str]:
        """The paired values that read what is in the region and are not in it, in order."""
        found = self.behind(inside, self.free).keys() - self.free - set(inside)
        return sorted(found, key=self.place.__getitem__)

    def outputs(self, inside: Collection[str]) -> list[str]:
        """The outputs of the graph among the region's own values."""
        reached = self.reached(inside)
        return [value for value in self._graph_outputs if value in reached]

    def grown(
        self, start: Collection[str], guilty: Guilty, wrong: Callable[[set[str], list[str]], Sequence[str] | None]
    ) -> set[str] | None:
        """A region that grew forward until nothing was ``wrong`` of what leaves it; None where that never comes, or
        where nothing can be said of it (None)."""
        inside, alone = set(start), 0
        for _ in range(STEPS):
            last = self.outputs(inside)
            ends = list(dict.fromkeys((*self.exits(inside), *last)))
            alone = 0 if self.ahead(inside, guilty) else alone + 1
            if len(inside) > LARGEST or not ends or alone > _ALONE:  # nothing there could make up for it
                return None
            found = wrong(inside, ends)
            if not found:
                return None if found is None else inside
            beside = self.beside(found, inside, guilty)
            if not beside and set(found) & set(last):
                return None
            inside |= self.with_copies(beside or found)
        return None

    def ahead(self, inside: Collection[str], guilty: Guilty) -> bool:
        """Whether anything that errs itself, and could be the other half, reads what leaves the region."""
        stack, seen = list(inside), set(inside)
        while stack:
            for reader in self._readers.get(stack.pop(), ()):
                if reader not in seen:
                    beside = self._fed(reader, guilty).keys() - seen - self.free
                    if any(map(guilty, (reader, *beside))):
                        return True
                    seen.add(reader)
                    stack.append(reader)
        return False

    def beside(self, wrong: Sequence[str], inside: Collection[str], guilty: Guilty) -> list[str]:
        """What else feeds a wrong exit and errs itself: a second wrong pair, or the other half of a rewrite."""
        found: dict[str, None] = {}
        stack = [*wrong, *sorted(inside)]
        while stack:
            for value in self._fed(stack.pop(), guilty):
                if value not in inside and value not in self.free and value not in found:
                    found[value] = None
                    stack.append(value)
        return list(found)


def is_blind(item: Measured) -> bool:
    """Whether a pair's tensors could not be held against each other: shapes that do not fit."""
    return item.local is None and item.accumulated is None
