"""Where in a region the error is made: tensors between its ends are tried in each other's place.

If the reference's tensor, put in the place of one of the candidate's, makes the end of the region right, everything
behind that place is right and answers the reference: the error is made before it. So a node that only the candidate
has (a clip, noise, a cast) is found between the tensor that it reads and the tensor that it should have left alone; and
of a node that it lacks, the tensor that should have gone through it. All that read such a tensor must be right with the
other one, for they all read what has gone through the lost node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import field, replace

from aligner.alignment.second_look import SecondLook
from aligner.api.open_suspects import open_suspects
from aligner.api.walked_back import WalkedBack
from aligner.execution.look import differences, stands_in
from aligner.execution.passes import Passes
from aligner.execution.side import Sides
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.suspects import comes_right, suspects
from aligner.operations.kinds import LAYOUT, PARAMETRIC
from aligner.records.alignment import PairedValues, Region
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured

_CULPRITS = 4
"""The first culprits are narrowed down; those behind them mostly are of the same making."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A tensor of the candidate in whose place one of the reference's makes its readers right; or several at once."""

    pairs: Sequence[PairedValues]
    entry: bool
    """The candidate's tensor has a partner of its own: a node is missing behind it."""
    right: frozenset[str]
    """Pairs (candidate values) that agree then …"""
    wrong: frozenset[str] = frozenset()
    """… and those that do not, though everything that reads them does: they do not answer each other."""


@dataclass(slots=True)
class Narrowing:
    """Tries tensors in each other's place, a limited number of times in all."""

    sides: Sides
    passes: Passes
    runs: int
    missing: dict[str, tuple[str, str, str | None]] = field(default_factory=dict)
    """Pairs (candidate values) whose region lacks a node of the reference, though others want what it reads as it is:
    (the node that reads it, "missing", the reference's node); or has one more behind an input: (the node, "extra")."""
    _measured: list[Measured] = field(default_factory=list)
    _walk: RegionWalk = field(default_factory=RegionWalk)
    _partner: dict[str, str] = field(default_factory=dict)

    def narrowed(self, known: SecondLook) -> SecondLook | None:
        """What is known with the places of errors in their regions; None where nothing can be said more exactly."""
        self._measured = list(self.passes.measured.values())
        self._walk = RegionWalk(self._measured, self._graphs[1])
        self._partner = {item.pair.candidate: item.pair.reference for item in self._measured}
        added, explained = known, set[str]()
        for item in open_suspects(self.sides, self.passes, _CULPRITS):
            place = self._place(item) if item.pair.candidate not in explained else None
            if place is not None:
                explained |= place.right | place.wrong
                added = self._with(added, place)
        return None if added == known else added

    @property
    def _graphs(self) -> tuple[Graph, Graph]:
        return self.sides[0].graph, self.sides[1].graph

    def _with(self, known: SecondLook, place: _Place) -> SecondLook:
        new = [(pair.reference, pair.candidate) for pair in place.pairs]
        if not place.entry:
            return replace(known, inserted=tuple(dict.fromkeys((*known.inserted, *new))))
        values = {value for _, value in new} | place.wrong
        gone = {(self._partner[value], value) for value in values if value in self._partner}
        strangers = {(reference, value) for reference, _ in new for value in self._strangers(reference)}
        return known.repaired((gone | strangers) - set(new), new)  # a pair may be confirmed

    def _place(self, item: Measured) -> _Place | None:
        orders = [item.pair.axes, *(one.pair.axes for one in self._entries(item)), None]
        for reference, value, entry in self._options(item):
            pair = stands_in(self.passes, self.sides[1], reference, value, orders)
            if pair is None:
                continue
            place = self._lost(pair, item) if entry else self._inserted(pair, item)
            if place is not None:
                return place
            if self.runs <= 0 or item.pair.candidate in self.missing:
                return None
        return None

    def _inserted(self, pair: PairedValues, item: Measured) -> _Place | None:
        extra = self._graphs[1].producer(pair.candidate)
        right, wrong = self._tried([pair], [one for one in self._measured if one is item or _holds(one, extra)])
        if item.pair.candidate not in right or wrong - suspects(self._graphs, self._measured).keys():
            return None  # another reader wants the tensor as it is
        if right and extra is not None and pair.reference in self._graphs[0].inputs:  # inputs keep their partners
            self.missing[item.pair.candidate] = extra.name, "extra", None
            return None
        return _Place([pair], False, frozenset(right)) if right else None

    def _lost(self, pair: PairedValues, item: Measured) -> _Place | None:
        """Whether all that read a tensor are right with another; of those that are not, whether their pair is wrong."""
        readers = self._readers({pair.candidate})
        right, wrong = self._tried([pair], readers, self._strangers(pair.reference))
        if not right:
            return None
        maker, told = self._graphs[1].producer(pair.candidate), self.passes.measured.get(pair.candidate)
        is_form = told is not None and told.pair.rule == "layout"  # behind a mask that adds nothing in this run, say
        if maker is None or ((is_form or maker.kind in LAYOUT) and not wrong):  # inputs and forms keep their partners
            if item.pair.candidate in right:
                self._is_missing(pair, item, item)
            return None
        behind = [reader for reader in self._readers(wrong) if reader.pair.candidate not in right | wrong]
        if wrong and wrong <= suspects(self._graphs, self._measured).keys():
            healed, open_ = self._tried([pair], behind, wrong)
            if healed and not open_:
                return _Place([pair], True, frozenset(right | healed), frozenset(wrong))
        if not wrong:
            if (earlier := self._walked_back(pair, right)) is not None:
                return earlier
            if maker.kind in PARAMETRIC and self._is_another(pair):
                self._is_missing(pair, item, item)
                return None
            lost = self._graphs[0].producer(pair.reference)
            if lost is None or lost.kind != maker.kind:  # else it stands there, and was paired with another
                self._is_missing(pair, item, self.passes.measured[pair.candidate])
            return _Place([pair], True, frozenset(right))
        if item.pair.candidate in right:
            self._is_missing(pair, item, item)
        return None

    def _walked_back(self, pair: PairedValues, right: set[str]) -> _Place | None:
        """The place from which nodes of the same kinds lead to a pair on both sides, if all is right from there on."""
        walk = WalkedBack(self._graphs, self._partner)
        found = walk.before((pair.reference, pair.candidate))
        if not walk.chain or not found:
            return None
        axes = {item.pair.candidate: item.pair.axes for item in self._measured}
        pairs = [stands_in(self.passes, self.sides[1], *one, [axes.get(one[1]), None]) for one in sorted(found)]
        chosen = [one for one in pairs if one is not None]
        ends = {one.pair.candidate for one in self._readers({one.candidate for one in chosen})} - walk.chain
        wanted = [self.passes.measured[value] for value in sorted(right | ends)]
        if len(chosen) < len(pairs) or self._tried(chosen, wanted, walk.chain)[1]:
            return None
        return _Place(chosen, True, frozenset(right | ends), frozenset(walk.chain))

    def _is_another(self, pair: PairedValues) -> bool:
        """Whether so much lies between the two that no operation was lost: another tensor is read than should be."""
        graph, partner = self._graphs[0], self._partner.get(pair.candidate)
        if partner is None:
            return False
        behind = graph.descendants({partner})
        between = (node for node in graph.region({partner}, pair.reference) if not behind.isdisjoint(node.inputs))
        return sum(node.kind in PARAMETRIC for node in between) > 1

    def _is_missing(self, pair: PairedValues, item: Measured, told: Measured) -> None:
        """Note at the pair that is told to err which node of an item's region reads what went through nothing."""
        nodes = [self._graphs[1].nodes[index] for index in item.pair.candidate_region.nodes]
        forms = self._walk.with_copies({pair.candidate})
        reading = next((node for node in nodes if not forms.isdisjoint(node.inputs)), None)
        lost = self._graphs[0].producer(pair.reference)
        if reading is not None and lost is not None:
            self.missing[told.pair.candidate] = reading.name, "missing", lost.name

    def _tried(
        self, pairs: Sequence[PairedValues], readers: Sequence[Measured], without: Collection[str] = ()
    ) -> tuple[set[str], set[str]]:
        """Which of some pairs agree, and which do not, where other tensors stand in."""
        if not readers:
            return set(), set()
        self.runs -= 1
        forms = self._walk.with_copies({*(pair.candidate for pair in pairs), *without})
        wanted = [item.pair.candidate for item in readers]
        found = differences(self.passes, wanted, forms, pairs)
        right = {
            item.pair.candidate for item in readers if comes_right(self._graphs, item, found.get(item.pair.candidate))
        }
        return right, set(wanted) - right

    def _readers(self, values: set[str]) -> list[Measured]:
        """The pairs whose regions start from these tensors, or from moved forms of them."""
        readers = self._walk.readers(self._walk.with_copies(values))
        return [item for item in self._measured if item.pair.candidate in readers]

    def _entries(self, item: Measured) -> Iterator[Measured]:
        measured = self.passes.measured
        return (measured[value] for value in item.pair.candidate_region.inputs if value in measured)

    def _before(self, value: str) -> list[str]:
        """Tensors of the reference that a culprit may answer in place of its partner: before it, of one kind of node.

        Where a spelled-out function starts with a factor, the layer before it has two tensors that may answer it.
        """
        item, maker = self.passes.measured.get(value), self._graphs[1].producer(value)
        if item is None or maker is None or value not in suspects(self._graphs, [item]):
            return []
        inner = _inside(self._graphs[0], item.pair.reference_region, item.pair.reference)
        makers = {name: self._graphs[0].producer(name) for name in inner}
        return [name for name, node in makers.items() if node is not None and node.kind == maker.kind]

    def _strangers(self, reference: str) -> list[str]:
        """The candidate's tensors that were paired with one of the reference's, where none of them answers it.

        One that the same kind of operation makes is that operation itself, applied in another order, say.
        """
        found = [one for one in self._measured if one.pair.reference == reference and one.pair.rule != "layout"]
        erring, kind = suspects(self._graphs, found), _kind(self._graphs[0], reference)
        moved = any(_kind(self._graphs[1], value) == kind for value in erring)
        return list(erring) if len(erring) == len(found) and not moved else []

    def _holds_the_same(self, item: Measured) -> bool:
        """Whether a region computes by the same operations on both sides, so that none is lost: one of them errs.

        An operation that changes nothing, as it is set, stands behind the candidate's end: what it makes is a form.
        """
        forms = [
            one.pair
            for one in self._measured
            if one.pair.rule == "layout" and one.pair.reference == item.pair.reference
        ]
        nodes = item.pair.reference_region.nodes, [i for one in (item.pair, *forms) for i in one.candidate_region.nodes]
        left, right = (
            Counter(kind for index in set(chosen) if (kind := graph.nodes[index].kind) not in LAYOUT)
            for graph, chosen in zip(self._graphs, nodes, strict=True)
        )
        return left == right

    def _options(self, item: Measured) -> Iterator[tuple[str, str, bool]]:
        """(reference, candidate, whether that has a partner): the earliest place of the candidate first.

        Where there are more places than runs the last comes first: what lies before it is looked into in the next look.
        """
        graphs = self._graphs
        regions = item.pair.regions
        ends = item.pair.reference, item.pair.candidate
        inner = [_inside(graph, region, end) for graph, region, end in zip(graphs, regions, ends, strict=True)]
        lost = [] if self._holds_the_same(item) else inner[0]
        strange = [value for value in regions[0].inputs if self._strangers(value)]
        for entry in regions[1].inputs:
            for value in _origins(graphs[1], entry, self._partner):
                likely = sorted(lost, key=lambda reference: _kind(graphs[0], reference) != _kind(graphs[1], value))
                yield from ((reference, value, True) for reference in (*likely, *strange))
            yield from ((reference, entry, True) for reference in self._before(entry))
        places = [(one, value, False) for value in inner[1] for one in (*regions[0].inputs, *inner[0])]
        yield from places if len(places) <= self.runs else reversed(places)


def _origins(graph: Graph, value: str, partner: dict[str, str]) -> list[str]:
    """A paired tensor after what it was moved from, the farthest first."""
    found = [value] if value in partner else []
    while (node := graph.producer(value)) is not None and node.kind in LAYOUT:
        source = next((name for name in node.inputs if name in partner), None)
        if source is None:
            break
        value = source
        found.insert(0, value)
    return found


def _kind(graph: Graph, value: str) -> str | None:
    maker = graph.producer(value)
    return maker.kind if maker is not None else None


def _holds(item: Measured, node: Node | None) -> bool:
    return node is not None and node.index in item.pair.candidate_region.nodes


def _inside(graph: Graph, region: Region, end: str) -> list[str]:
    return [value for index in region.nodes for value in graph.nodes[index].outputs if value and value != end]
