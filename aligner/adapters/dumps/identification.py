"""Which value each tensor of a dump is, and how it lies, where neither names nor shapes tell: by what the model gives.

The model is run, and a tensor is the value that it is like. What is known is put into the next run, so that behind what
the device did otherwise everything is again what the model gives.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from aligner.adapters.base import Feeds, Session
from aligner.adapters.dumps.dump import Dump
from aligner.adapters.dumps.layout import LIKE, Order, can_be, centred_cosine, clearly, distance, effective
from aligner.adapters.dumps.numbers import Storage, storage_of, ways
from aligner.adapters.dumps.reading import Reading
from aligner.adapters.dumps.recorded import Given, real
from aligner.errors import AlignerError
from aligner.operations.kinds import SOURCES
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor

_SAME = 1 + 2.0**-30
"""Distances within this factor are one: values that a reshape leaves as they are, summed in float64 in any order."""
_MOST_TRIED = 8
"""Values that a tensor is tried as, the most alike first: a limit of cost, each takes a run."""
_IN_ORDER = 6
"""Tensors that stand in a dump as their values do in the model by chance once in 6! = 720 times."""
_MOST_RUNS = 80
"""A limit of cost. Two, or those that _MOST_TRIED takes, settle a tensor; what is open after the last keeps no name."""
_COUNTED = re.compile(r"\d+")

Found = tuple[str, Order | None]
"""A value, and the order in which a tensor is it; None where all orders are one."""


class Identification:
    """``orders`` of values whose tensors fit several, and ``places`` of values whose tensors have other names.

    ``left``: places of tensors that no name matched, each with the values that its name leaves; none: any of them.
    ``is_bare``: no name did, so that their order tells too.
    """

    def __init__(
        self, session: Session, feeds: Feeds, dump: Dump, reading: Reading, left: Mapping[int, Collection[str]]
    ) -> None:
        self._session, self._feeds, self._dump, self._reading = session, feeds, dump, reading
        self._graph = reading.graph
        made = [value for node in self._graph.nodes if node.kind not in SOURCES for value in node.outputs]
        self._rank = {value: place for place, value in enumerate(dict.fromkeys(made)) if value in self._graph.values}
        self.is_bare = not self._rank.keys() & reading.places.keys()
        self.orders: dict[str, Order] = {}
        self.places: dict[str, int] = {}
        self.copies: set[int] = set()
        """Tensors that hold what another one holds."""
        self._likely: set[str] = set()
        self._runs = 0
        self._votes: Counter[Order] = Counter()
        self._readings: dict[tuple[int, tuple[int | None, ...] | None], Reading] = {}
        self._sums: dict[tuple[int, int], tuple[float, float]] = {}
        self._open: dict[int, list[Found]] = {}
        self._names = {place: {*names} for place, names in left.items() if names}
        self._named = {place: name for name, place in reading.places.items() if name in self._rank}
        for place, name in self._named.items():
            if len(able := reading.orders_of(name)) > 1:
                self._open[place] = [(name, order) for order in able]
        self._storage = self._common_storage(left) if self.is_bare else reading.storage
        for place in left:
            if able_ones := self._fitting(place, left[place]):
                self._open[place] = able_ones
        self._known: dict[str, Callable[[], CapturedTensor]] = {
            name: partial(reading.tensor, name)
            for place, name in self._named.items()
            if place not in self._open and dump.tensors[place].statistics is None
        }
        self._counts = _counted([dump.tensors[place].name for place in left], list(left))

    def run(self) -> None:
        """Settle what can be; what is left has the order of the others, or stays without a value."""
        try:
            while self._open and self._runs < _MOST_RUNS and (self._settle_likes() or self._settle_next()):
                pass
        except AlignerError:  # a tensor that the model does not take: others have to judge
            pass
        if self.is_bare and not self._likely:  # of another model or input, where all are like something by chance
            self.places.clear()

    def _common_storage(self, left: Iterable[int]) -> Storage:
        shapes = {self._graph.values[value].shape for value in self._rank}
        tensors = [self._dump.tensors[place] for place in left]
        return storage_of(
            {way for shape in shapes for way in ways(one, shape, self._graph.channels)} for one in tensors
        )

    def _fitting(self, place: int, names: Collection[str]) -> list[Found]:
        tensor = self._dump.tensors[place]
        if tensor.statistics is not None or (tensor.shape is None and tensor.nbytes is None):
            return []
        found: list[Found] = []
        for value in (value for value in self._rank if not names or value in names):
            shape = self._graph.values[value].shape
            if shape is None or None in shape or not self._storage.explains(tensor, shape, self._graph.channels):
                continue
            if not can_be(tensor.shape, tuple(size for size in shape if size is not None), self._graph.channels):
                continue
            alone = self._alone(place, value)
            if value in alone.places:
                found += [(value, order) for order in (*alone.orders_of(value),)] or [(value, None)]
        return found

    def _alone(self, place: int, value: str) -> Reading:
        """The tensor read as if it were that value."""
        if self._named.get(place) == value:
            return self._reading
        shape = self._graph.values[value].shape
        found = self._readings.get((place, shape))
        if found is None or value not in found.places:
            found = Reading(self._dump, self._graph, {value: place}, self._reading.order)
            found.storage = self._storage
            self._readings[place, shape] = found
        return found

    def _read(self, place: int, found: Found) -> CapturedTensor:
        return self._alone(place, found[0]).tensor(*found)

    def _settle_likes(self) -> bool:
        """Settle every tensor that is like a value of a run with what is known; whether there were any."""
        like = self._likes(self._known)
        settled = False
        for place in sorted(like, key=self._turn):
            near = min(far for far, _ in like[place])
            alike = [found for far, found in like[place] if far <= _SAME * near]
            settled |= self._take(place, sorted(alike, key=self._preferred), likely=True)
        return settled

    def _likes(self, known: Mapping[str, Callable[[], CapturedTensor]]) -> dict[int, list[tuple[float, Found]]]:
        """The values that each open tensor is like in a run with those that are known, and how near it is."""
        wanted: dict[str, list[int]] = {value: [] for able in self._open.values() for value, _ in able}
        for place, able in self._open.items():
            for value in dict.fromkeys(value for value, _ in able):
                wanted[value].append(place)
        like: dict[int, list[tuple[float, Found]]] = defaultdict(list)
        for tensor in self._run(wanted, known):
            own = tensor.real()
            for place in wanted[tensor.value]:
                if place not in self._named and not self._may_be(place, own, tensor.value):
                    continue
                for found in self._open[place]:
                    if found[0] == tensor.value and (far := distance(self._read(place, found).real(), own)) <= LIKE:
                        like[place].append((far, found))
        return like

    def _run(
        self, wanted: Iterable[str], known: Mapping[str, Callable[[], CapturedTensor]]
    ) -> Iterable[CapturedTensor]:
        self._runs += 1
        given = Given(real(known), self._graph)
        tensors = self._session.run(self._feeds, {*wanted}, given)
        return (tensor for tensor in tensors if not tensor.occurrence and tensor.array.dtype.kind in "fiub")

    def _may_be(self, place: int, own: Array, value: str) -> bool:
        """Whether a tensor has the sum and the norm of a value, whatever the order of its numbers."""
        import numpy as np

        key = place, own.size  # which tells the type where only bytes are known
        if key not in self._sums:
            array = np.asarray(self._read(place, (value, None)).real(), np.float64)
            array = array[np.isfinite(array)]
            self._sums[key] = float(array.sum()), float(np.linalg.norm(array))
        total, norm = self._sums[key]
        here = float(np.linalg.norm(own.astype(np.float64)))
        apart = abs(float(own.sum(dtype=np.float64)) - total)
        return abs(here - norm) <= 2 * LIKE * here and apart <= 2 * LIKE * here * own.size**0.5

    def _preferred(self, found: Found) -> tuple[bool, bool, int]:
        common = self._common()
        return found[0] in self._taken(), found[1] is not None and found[1] != common, self._rank[found[0]]

    def _common(self) -> Order | None:
        return self._votes.most_common(1)[0][0] if self._votes else self._reading.order

    def _taken(self) -> set[str]:
        return {*self.places, *self._named.values()}

    def _take(self, place: int, alike: Sequence[Found], *, likely: bool) -> bool:
        """Settle a tensor as the first; one that is a value that is there already is its copy, and left out."""
        value, order = alike[0]
        self._open.pop(place)
        if place not in self._named:
            if value in self._taken():
                self.copies |= {place} if likely else set()
                return False
            self.places[value] = place
        if likely:
            self._likely.add(value)
        if order is not None:
            self.orders[value] = order
            depth = (self._graph.values[value].shape or (0, 0))[1 if self._graph.channels == "first" else -1] or 0
            self._votes[effective(order, depth)] += 1
        self._known[value] = partial(self._read, place, (value, order))
        return True

    def _turn(self, place: int) -> int:
        return self._counts.get(place, place)

    def _settle_next(self) -> bool:
        """Settle the first tensor that the model does not give: as what it is nearest to, or alone can be."""
        if not self._open:
            return False
        place, able = min(((place, self._window(place)) for place in self._open), key=lambda one: self._first(*one))
        rivals = self._rivals(place)
        if not able or rivals:
            for at in (place, *rivals):
                self._open.pop(at)
            return True
        named = place in self._named
        cosines: list[tuple[float, Found]] = []
        for tensor in self._run({value for value, _ in able}, self._known):
            own = tensor.real()
            cosines += [
                (centred_cosine(self._read(place, found).real(), own), found)
                for found in able
                if found[0] == tensor.value
            ]
        cosines.sort(key=lambda one: -one[0])
        size = self._read(place, able[0]).array.size
        if cosines and clearly([cosine for cosine, _ in cosines], size):
            self._take(place, [cosines[0][1]], likely=False)
        elif (shown := self._shown(place, [found for _, found in cosines])) is not None:
            self._take(place, [shown], likely=False)
        elif named:
            self._take(place, [(able[0][0], self._order_like(able))], likely=False)
        elif self.is_bare and self._alone_fits(able):
            self._take(place, sorted(able, key=self._preferred), likely=False)
        else:
            self._open.pop(place)
        return True

    def _rivals(self, place: int) -> list[int]:
        """Other tensors that go by the one name of a tensor, where nothing tells which of them is meant."""
        able = {value for value, _ in self._open[place]}
        alone = place not in self._named and len(able) == 1 and self._names.get(place) == able
        return [at for at in self._open if at != place and self._names.get(at) == able] if alone else []

    def _shown(self, place: int, able: Sequence[Found]) -> Found | None:
        """The one of several that a tensor is, by what stands behind it: that is what the model gives for it there.

        ``able``: the most alike first, which is taken where several explain as much (an activation twice is one).
        """
        tried = able[:_MOST_TRIED]
        explained = [self._explained({**self._known, one[0]: partial(self._read, place, one)}, place) for one in tried]
        most = max(explained, default=0)
        return tried[explained.index(most)] if tried and most > self._explained(self._known, place) else None

    def _explained(self, known: Mapping[str, Callable[[], CapturedTensor]], apart: int) -> int:
        """How many other tensors are like what the model gives in a run with those that are known."""
        found = sum(bool(like) for at, like in self._likes(known).items() if at != apart)
        for tensor in self._run(self._known, known):
            found += distance(self._known[tensor.value]().real(), tensor.real()) <= LIKE
        return found

    def _first(self, place: int, able: Sequence[Found]) -> tuple[int, int]:
        ranks = [self._rank[value] for value, _ in able]
        return min(ranks, default=len(self._rank)), self._turn(place)

    def _order_like(self, able: Sequence[Found]) -> Order | None:
        common = self._common()
        return next((order for _, order in able if order == common), able[0][1])

    def _window(self, place: int) -> list[Found]:
        """What an open tensor can be, between its neighbours where the dump is in the order of the model."""
        able = self._open[place]
        if place in self._named:
            return able
        taken = self._taken()
        here, turns = self._turns(place)
        low = max((rank for turn, rank in turns if turn < here), default=-1)
        high = min((rank for turn, rank in turns if turn > here), default=len(self._rank))
        return [found for found in able if low < self._rank[found[0]] < high and found[0] not in taken]

    def _turns(self, place: int) -> tuple[int, list[tuple[int, int]]]:
        """When a tensor came, and (turn, rank) of those that are known, where the dump is in the order of the model.

        A dump without names is taken to be in it, unless it shows that it is not; others have to show that they are.
        """
        every = sorted((at, self._rank[value]) for at, value in self._named.items())
        every += [(at, self._rank[value]) for value, at in self.places.items()]
        counted = [(self._turn(at), self._rank[value]) for value, at in self.places.items()]
        orders = [(self._turn(place), counted)] if self.is_bare else [(place, every), (self._turn(place), counted)]
        for here, turns in orders:
            ranks = [rank for _, rank in sorted(turns)]
            if ranks == sorted(ranks) and (self.is_bare or len(ranks) >= _IN_ORDER):
                return here, turns
        return place, []

    def _alone_fits(self, able: Sequence[Found]) -> bool:
        """Whether as many values are left between its neighbours as tensors that could be them."""
        free = {value for value, _ in able} - self._taken()
        rivals = [at for at in self._open if at not in self._named and free & {value for value, _ in self._window(at)}]
        return bool(free) and len(rivals) == len(free)


def _counted(names: Sequence[str], places: Sequence[int]) -> Mapping[int, int]:
    """The turns of tensors by the number that their names count up: the last one in each, or the first."""
    numbers = [[int(word) for word in _COUNTED.findall(name[:4096])] for name in names]
    for at in (-1, 0):
        found = [row[at] for row in numbers if row]
        if len(set(found)) == len(names):
            return dict(zip(places, found, strict=True))
    return {}
