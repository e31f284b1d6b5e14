"""Which stored weight answers which, what a converter did to it, and which are changed, missing or never loaded.

The search goes from what is certain to what is likely: equal numbers under one name, equal numbers in regions that
answer each other, equal numbers anywhere, joined or split ones, equal constants in order. What then has a name or a
region in common but other numbers is changed. Only fingerprints stay in memory; arrays are read one for each side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from aligner.alignment.skeleton import read
from aligner.alignment.weight_entries import Entry, computed_constants, entries
from aligner.parameters.fingerprint import EXACT, ROUNDED, Fingerprint
from aligner.parameters.initialised import looks_initialised
from aligner.parameters.relation import NARROW, Relation, relate
from aligner.records.alignment import Alignment
from aligner.records.graph import Graph
from aligner.records.weight import WeightMatch

_RELATED = 0.5
"""Correlation below which two weights share less than a quarter of their variance (0.5² of it)."""
_PARTS = 8
"""Parts that a weight is looked for in: gates of a cell have 3 or 4, queries, keys and values 3, of both directions
twice."""
_COARSE = 1e-2
"""Distance of fingerprints up to which eight bits may stand for what a run computed from weights."""
_GROUP = 16
"""Weights of one node of which any parts may make one: a limit of work, 16 over 8 being 12,870 groups."""


Constants = Mapping[str, Fingerprint]


def audit(
    reference: Graph,
    candidate: Graph,
    alignment: Alignment | None = None,
    *,
    reference_constants: Constants | None = None,
    candidate_constants: Constants | None = None,
) -> tuple[WeightMatch, ...]:
    """Every weight that computing nodes of the reference use, in the order of use; the candidate's extra ones follow.

    ``alignment`` tells equal weights apart and finds the partners of changed ones; names and order do without it. The
    constants are fingerprints of what nodes compute from weights alone (``unfolded``), which the other side may store.
    Numbers written into the model (a slope, a mask, a neutral 0 or 1) may be paired, but are never missing or extra.
    """
    work = _Audit(
        entries(read(reference, {}), reference_constants or {}), entries(read(candidate, {}), candidate_constants or {})
    )
    regions = list(_regions(alignment)) if alignment is not None else []
    work.equal("name", _named(work))
    work.equal("structure", (pair for left, right in regions for pair in _within(work, left, right)))
    work.equal("values", _near(work))
    work.joined()
    work.equal("order", _constants(work))
    work.changed("name", _named(work))
    for left, right in regions:
        work.changed("structure", _within(work, left, right))
    work.changed("order", _in_order(work))
    work.completed()
    work.repeated()
    work.unshared(regions)
    return work.result()


def unfolded(graph: Graph) -> tuple[str, ...]:
    """Ids of the values that are computed from weights alone; run the model once to see them."""
    return tuple(computed_constants(read(graph, {})))


Options = Iterable[tuple[Entry, Entry]]


class _Audit:
    """The matches found so far, and what is still free on each side."""

    def __init__(self, left: Sequence[Entry], right: Sequence[Entry]) -> None:
        self.sides = tuple(sorted(side, key=lambda entry: (entry.made != "", entry.place)) for side in (left, right))
        self.taken: tuple[set[str], set[str]] = (set(), set())
        self.matches: list[WeightMatch] = []
        self._free: dict[int, tuple[Entry, ...]] = {}

    def free(self, side: int) -> tuple[Entry, ...]:
        """What has no partner yet; a folded entry is free while the weight it ends in is."""
        if side not in self._free:
            self._free[side] = tuple(entry for entry in self.sides[side] if self.is_free(side, entry))
        return self._free[side]

    def is_free(self, side: int, entry: Entry) -> bool:
        """Whether no weight of the entry is taken; what a run computed may share all but the first."""
        sources = entry.sources[:1] if entry.made == "constant-folded" else entry.sources
        return all(source.id not in self.taken[side] for source in sources)

    def equal(self, rule: str, options: Options) -> None:
        """Pair what holds the same numbers."""
        for left, right in options:
            if not (self.is_free(0, left) and self.is_free(1, right)) or not _may_be_equal(left, right):
                continue
            relation = _relation(left, right)
            if relation is not None and relation.matched:
                self._pair(rule, left, right, relation)
                if left.made or right.made:
                    self.equal(rule, self._beside(left, right))

    def _beside(self, left: Entry, right: Entry) -> list[tuple[Entry, Entry]]:
        """The bias that a fold leaves beside its kernel: found before its parts are taken for themselves."""
        sides = [
            [other for other in self.free(side) if set(other.users) & set(entry.users) and other.made == entry.made]
            for side, entry in enumerate((left, right))
        ]
        return [(one, other) for one in sides[0] for other in sides[1]]

    def changed(self, rule: str, options: Options) -> None:
        """Pair what should hold the same numbers and does not, the closest first."""
        found = []
        for left, right in options:
            if not (self.is_free(0, left) and self.is_free(1, right)) or left.size != right.size:
                continue
            if not _same_role(left, right):
                continue
            if left.load is not None and right.load is not None:
                found.append((relate(left.load(), right.load(), numbers_agree=False), left, right))
        for relation, left, right in sorted(found, key=lambda item: (item[0].relative, item[1].made)):
            if self.is_free(0, left) and self.is_free(1, right):
                self._pair(rule, left, right, relation)
                if left.made or right.made:
                    self.changed(rule, self._beside(left, right))

    def joined(self) -> None:
        """Weights that one side stores as one array: gates of a recurrent layer, queries with keys and values."""
        for whole, parts, word in ((1, 0, "concatenated"), (0, 1, "split")):
            for entry in self.free(whole):
                group = _group(entry, [part for part in self.free(parts) if not part.made])
                sides = ((entry,), group) if whole == 0 else (group, (entry,))
                if group:
                    self._take(sides[0], sides[1])
                    for part in group:
                        left, right = (part, entry) if whole else (entry, part)
                        self._record("values", left, right, Relation(True, (word,), None, 0.0, 1.0))

    def completed(self) -> None:
        """Weights that constant folding has worked into one that was found through another of its sources."""
        partners = {match.reference.id: match for match in self.matches if match.reference and match.candidate}
        stored = {entry.sources[0].id: entry for entry in self.sides[1] if not entry.made}
        for entry in self.sides[0]:
            missing = [source for source in entry.sources if source.id not in self.taken[0]]
            found = next((partners[source.id] for source in entry.sources if source.id in partners), None)
            if entry.made != "constant-folded" or not missing or found is None or found.candidate is None:
                continue
            other = stored.get(found.candidate.id)
            relation = _relation(entry, other) if other is not None else None
            if other is not None and relation is not None:
                rest = replace(entry, sources=tuple(missing))
                self._take((rest,), ())
                self._record("values", rest, other, replace(relation, transforms=(entry.made, *relation.transforms)))

    def repeated(self) -> None:
        """Weights that one side shares between layers and the other stores for each."""
        for shared, several in ((0, 1), (1, 0)):
            for entry in self.free(several):
                for other in self.sides[shared]:
                    left, right = (other, entry) if shared == 0 else (entry, other)
                    if entry.made or other.made or self.is_free(shared, other) or not _agree(left, right, ROUNDED):
                        continue
                    relation = _relation(left, right)
                    if relation is not None and relation.matched:
                        self._take((left,), (right,))
                        words = ("shared", *(word for word in relation.transforms if word != "same"))
                        self._record("values", left, right, replace(relation, transforms=words), again=True)
                        break

    def unshared(self, regions: Iterable[tuple[frozenset[str], frozenset[str]]]) -> None:
        """Weights that one side shares, and the other stores again with other numbers for one of the uses."""
        for left, right in regions:
            shared = [other for other in self.sides[0] if not other.made and len(other.users) > 1 and other.ids <= left]
            for entry in [entry for entry in self.free(1) if not (entry.made or entry.literal) and entry.ids <= right]:
                for other in [other for other in shared if other.size == entry.size][:1]:
                    assert other.load is not None and entry.load is not None
                    relation = relate(other.load(), entry.load(), numbers_agree=False)
                    self._take((), (entry,))
                    self._record("structure", other, entry, relation, again=True)

    def result(self) -> tuple[WeightMatch, ...]:
        """All matches, in the order in which the reference uses its weights, then the candidate's own."""
        for side, status in ((0, "missing"), (1, "extra")):
            for entry in self.free(side):
                if not entry.made and not entry.literal and not entry.neutral:
                    weight = entry.sources[0]
                    sides = (weight, None) if side == 0 else (None, weight)
                    self.matches.append(WeightMatch(status, *sides))  # type: ignore[arg-type]
        order = {entry.sources[0].id: place for place, entry in enumerate(self.sides[0]) if not entry.made}
        last = len(order)
        return tuple(sorted(self.matches, key=lambda m: order.get(m.reference.id, last) if m.reference else last))

    def _pair(self, rule: str, left: Entry, right: Entry, relation: Relation) -> None:
        if left.made or right.made:
            made = tuple(dict.fromkeys(word for word in (left.made, right.made) if word))
            words = tuple(word for word in relation.transforms if word not in ("same", *made))
            relation = replace(relation, transforms=(*made, *words))
        self._take((left,), (right,))
        self._record(rule, left, right, relation)

    def _take(self, left: Iterable[Entry], right: Iterable[Entry]) -> None:
        for side, these in enumerate((left, right)):
            for entry in these:
                self.taken[side].update(entry.ids)
                self._free.pop(side, None)

    def _record(self, rule: str, left: Entry, right: Entry, relation: Relation, *, again: bool = False) -> None:
        known = {match.reference.id for match in self.matches if match.reference}
        status = "matched" if relation.matched else "changed"
        fresh = not relation.matched and relation.correlation < _RELATED and _fresh(right)
        for source in left.sources:
            if again or source.id not in known:
                self.matches.append(
                    WeightMatch(
                        status=status,  # type: ignore[arg-type]
                        reference=source,
                        candidate=right.sources[0],
                        transforms=relation.transforms,
                        axes=relation.axes if source is left.sources[0] else None,
                        relative=relation.relative,
                        correlation=relation.correlation,
                        fresh=fresh,
                        rule=rule,
                    )
                )


def _relation(left: Entry, right: Entry) -> Relation | None:
    """How two entries hold the same numbers; None where they do not and only their fingerprints are known."""
    if left.load is not None and right.load is not None:
        return relate(left.load(), right.load(), numbers_agree=_agree(left, right, _allowed((left, right))))
    if left.print is None or right.print is None or not left.print.telling:
        return None
    stored = "dequantised" if _integer((left, right)) else "cast" if _narrow((left, right)) else ""
    apart = _distance(left, right)
    allowed = _COARSE if stored == "dequantised" else _allowed((left, right))
    return Relation(True, (stored,) if stored else (), None, apart, 1.0) if apart <= allowed else None


def _allowed(entries: Iterable[Entry]) -> float:
    return ROUNDED if _narrow(entries) else EXACT


def _integer(entries: Iterable[Entry]) -> bool:
    return any(entry.coded or source.dtype.startswith(("int", "uint")) for entry in entries for source in entry.sources)


def _narrow(entries: Iterable[Entry]) -> bool:
    return any(source.dtype.startswith(NARROW) for entry in entries for source in entry.sources)


def _fresh(entry: Entry) -> bool:
    return entry.load is not None and looks_initialised(entry.load().array)


def _agree(left: Entry, right: Entry, allowed: float) -> bool:
    """Whether two fingerprints say that the numbers are the same, in whatever order."""
    if left.print is None or right.print is None:
        return False
    return left.print.telling and left.print.distance(right.print) <= allowed


def _may_be_equal(left: Entry, right: Entry) -> bool:
    """Whether it is worth reading both arrays."""
    if left.size != right.size or not _same_role(left, right):
        return False
    if left.print is None or right.print is None:
        return left.print is right.print
    return _integer((left, right)) or left.print.distance(right.print) <= 2 * ROUNDED


def _same_role(left: Entry, right: Entry) -> bool:
    """Whether two operands of normalisations of one form stand in the same place: a scale answers no shift."""
    return left.role is None or right.role is None or left.role[1] != right.role[1] or left.role == right.role


def _regions(alignment: Alignment) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    for pair in alignment.pairs:
        if pair.reference_region.weights and pair.candidate_region.weights:
            yield frozenset(pair.reference_region.weights), frozenset(pair.candidate_region.weights)


def _named(work: _Audit) -> Iterator[tuple[Entry, Entry]]:
    """Entries whose framework names agree word for word."""
    by_name = {entry.sources[0].name: entry for entry in work.free(1) if not entry.made}
    for entry in work.free(0):
        other = by_name.get(entry.sources[0].name)
        if other is not None and not entry.made:
            yield entry, other


def _within(work: _Audit, left: frozenset[str], right: frozenset[str]) -> Iterator[tuple[Entry, Entry]]:
    """Entries of one pair of regions, sizes equal, in operand order."""
    mine, theirs = (
        [entry for entry in work.free(side) if entry.ids <= weights] for side, weights in enumerate((left, right))
    )
    for entry in mine:
        for other in theirs:
            if entry.size == other.size and not (entry.literal and other.literal):
                yield entry, other


def _near(work: _Audit) -> Iterator[tuple[Entry, Entry]]:
    """Entries of equal numbers wherever they stand, the closest first, as far as the numbers say anything."""
    by_size: dict[int, list[Entry]] = defaultdict(list)
    for entry in work.free(1):
        by_size[entry.size].append(entry)
    for entry in work.free(0):
        near = [other for other in by_size.get(entry.size, ()) if _agree(entry, other, ROUNDED)]
        yield from ((entry, other) for other in sorted(near, key=lambda other: _distance(entry, other)))


def _distance(left: Entry, right: Entry) -> float:
    assert left.print is not None and right.print is not None
    return left.print.distance(right.print)


def _constants(work: _Audit) -> Iterator[tuple[Entry, Entry]]:
    """Entries that hold one number throughout, which nothing but their order tells apart."""
    for entry in work.free(0):
        for other in work.free(1):
            if entry.size == other.size and not entry.made and not other.made and _same_constant(entry, other):
                yield entry, other
                break


def _same_constant(left: Entry, right: Entry) -> bool:
    a, b = left.print, right.print
    return a is not None and b is not None and not a.telling and a.distance(b) <= EXACT


def _in_order(work: _Audit) -> Iterator[tuple[Entry, Entry]]:
    """What is left, where both sides have equally many of one shape up to axis order; no literals, no zeros."""
    groups: tuple[dict[tuple[int, ...], list[Entry]], ...] = (defaultdict(list), defaultdict(list))
    for side in (0, 1):
        for entry in work.free(side):
            if not (entry.made or entry.literal or entry.neutral):
                groups[side][tuple(sorted(dim for dim in entry.shape if dim != 1))].append(entry)
    for shape, mine in groups[0].items():
        theirs = groups[1].get(shape, [])
        if len(mine) == len(theirs):
            yield from zip(mine, theirs, strict=True)


def _group(whole: Entry, parts: Sequence[Entry]) -> tuple[Entry, ...]:
    """Parts that together hold the numbers of the whole: neighbours in the order of use, or operands of one node."""
    if whole.print is None or not whole.print.telling or whole.made:
        return ()
    for chosen in _groupings(whole.size, parts):
        if _sum(chosen).distance(whole.print) <= _allowed((whole, *chosen)):
            return chosen
    return ()


def _groupings(size: int, parts: Sequence[Entry]) -> Iterator[tuple[Entry, ...]]:
    fitting = [part for part in parts if part.print is not None and part.size < size and size % part.size == 0]
    by_size: dict[int, list[Entry]] = defaultdict(list)
    for part in fitting:
        by_size[part.size].append(part)
    for part_size, same in by_size.items():
        many = size // part_size
        if not 2 <= many <= _PARTS:
            continue
        for start in range(len(same) - many + 1):
            yield tuple(same[start : start + many])
        for node in dict.fromkeys(index for part in same for index in part.users):
            own = [part for part in same if node in part.users]
            if many < len(own) <= _GROUP:
                yield from combinations(own, many)


def _sum(parts: Sequence[Entry]) -> Fingerprint:
    prints = [part.print for part in parts if part.print is not None]
    total: Callable[[str], float] = lambda name: sum(getattr(item, name) for item in prints)  # noqa: E731
    return Fingerprint(
        size=sum(item.size for item in prints),
        total=total("total"),
        magnitude=total("magnitude"),
        energy=total("energy"),
        low=min(item.low for item in prints),
        high=max(item.high for item in prints),
    )
