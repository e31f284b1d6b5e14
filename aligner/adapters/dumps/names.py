"""Which tensor of a dump is which value of the model: writers mangle names, so the model's are mangled alike."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType

from aligner.adapters.dumps.decoration import undecorated
from aligner.adapters.dumps.dump import DumpedTensor
from aligner.adapters.dumps.fused_names import fused_names
from aligner.adapters.dumps.numbers import may_hold
from aligner.errors import listing
from aligner.operations.kinds import SOURCES
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph

_FOREIGN = re.compile(r"[^0-9A-Za-z]")
_RUNS = re.compile(r"[^0-9A-Za-z]+")
_TURN = re.compile(r"(?P<name>.+)@(?P<turn>[1-9][0-9]{0,5})")
_LONGEST = 4096
"""Characters of a name that are read: a limit of work, names being a stranger's."""
_MOSTLY_CUT = 24
"""Characters that the shortest limit of a writer leaves; shorter names are whole."""


_CUT_OFF = 1
"""Tensors of another size than what they are named as that a file cut off explains. More say that what is left of the
names without their decoration counts something else: the kernels of another compiler (fused_nn_add_3)."""


@dataclass(frozen=True, slots=True)
class Matched:
    """``places``: value id → place of its tensor in the dump. The rest is told: by name, and why.

    ``later``: places of what a value was when it was computed again, "name@1", "name@2", in order.
    """

    places: Mapping[str, int]
    leftover: tuple[str, ...]
    ambiguous: tuple[str, ...]
    later: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    other_sizes: tuple[str, ...] = ()
    """Tensors that have a value's name and not its size, in words."""
    left: tuple[int, ...] = ()
    """Places of tensors that nothing is called like."""
    rivals: Mapping[int, frozenset[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Places of tensors that several values could be, or several tensors one value, by name: those values."""
    by_numbers: int = 0
    """How many were found by what they hold."""
    decided: tuple[str, ...] = ()
    """Tensors whose names leave several values, of which what they hold tells one."""

    def with_more(self, places: Mapping[str, int], copies: Collection[int], tensors: Sequence[DumpedTensor]) -> Matched:
        """With tensors that were found by what they hold; ``copies`` hold what another one holds."""
        told = {*places.values(), *copies} - {*self.left}
        left = tuple(place for place in self.left if place not in places.values())
        rivals = {place: values for place, values in self.rivals.items() if place not in told}
        return replace(
            self,
            places={**self.places, **places},
            left=left,
            leftover=tuple(tensors[place].name for place in left),
            rivals=rivals,
            ambiguous=tuple(tensors[place].name for place in rivals),
            by_numbers=sum(place in self.left for place in places.values()),
            decided=tuple(tensors[place].name for place in self.rivals if place in told),
        )

    def notes(self, model: str) -> Iterator[str]:
        """Sentences for what was not matched."""
        if self.by_numbers:
            yield (
                f"{self.by_numbers} tensors of the dump, named as nothing in {model}, were taken for the values that "
                "they are like when it is run here"
            )
        if self.decided:
            yield (
                f"tensors of the dump that several values of {model} could be, once names are mangled or cut off, were "
                f"taken for the one that they are like when it is run here: {listing(self.decided)}"
            )
        if self.ambiguous:
            yield (
                f"tensors of the dump whose names several values of {model} could have, or several tensors one value, "
                f"once names are mangled, were left out: {listing(self.ambiguous)}; pair them with --map"
            )
        if self.other_sizes:
            yield (
                f"tensors of the dump that are named as values of {model} and have another size were left out, "
                f"files that are cut off among them if any: {listing(self.other_sizes)}"
            )
        if self.leftover:
            yield f"tensors of the dump that are no value of {model}: {listing(self.leftover)}"


def _exactly(name: str) -> str:
    return name[:_LONGEST]


def _mangled(name: str) -> str:
    """What most writers make of a name: everything foreign to a C identifier becomes "_"."""
    return _FOREIGN.sub("_", name[:_LONGEST])


def _loosely(name: str) -> str:
    """What is left when writers also drop, double or join such characters, or change case."""
    return _RUNS.sub("_", name[:_LONGEST]).strip("_").lower()


def _first(way: Callable[[str], str]) -> Callable[[str], str]:
    """The same of names without TensorFlow's word for a node's first output, which writers keep or not."""
    return lambda name: way(name.removesuffix(":0"))


def _cut_at(longest: int) -> Callable[[str], str]:
    """Names that a writer cut off: those of the greatest length in a dump may go on."""
    return lambda name: _mangled(name)[:longest] if len(name) >= longest >= _MOSTLY_CUT else name


_WAYS: tuple[Callable[[str], str], ...] = (_exactly, _mangled, _first(_mangled), _loosely, _first(_loosely))


def match(tensors: Sequence[DumpedTensor], graph: Graph, told: Mapping[str, str] | None = None) -> Matched:
    """Match by ``told`` (dump's name → model's name), then exactly, then mangled the writers' ways.

    At each step tensors' own names come first, then what a node of that name computes, then what a module of that name
    gives back. A name that could be several values is theirs whose size alone fits, or nobody's.
    """
    again = _again(tensors)
    repeats = {place for places_of in again.values() for place in places_of}
    claims = _Claims(graph, {place: tensor for place, tensor in enumerate(tensors) if place not in repeats})
    places, open_places = claims.places, claims.left
    _by_position(tensors, graph, places, open_places)
    sources = _tensor_names(graph), _node_names(graph), _module_names(graph)
    for place, tensor in list(open_places.items()):
        values = sources[0].get((told or {}).get(tensor.name, ""), [])
        if len(values) == 1 and values[0] not in places:
            places[values[0]] = place
            del open_places[place]
    ways = (*_WAYS, _cut_at(max((len(tensor.name) for tensor in tensors), default=0)))
    for way in ways:
        for source in sources:
            claims.claim(way, source)
    claims.claim(_exactly, fused_names(tensors, open_places, graph, sources))
    bare = undecorated(tensors, open_places, sources)
    open_places |= bare
    for way in (_loosely, _first(_loosely)) if bare else ():
        for source in sources:
            claims.claim(way, source)
    if bare:
        stripped = {place: open_places[place] for place in bare if place in open_places}
        claims.claim(_exactly, fused_names(stripped, stripped, graph, sources))
    if len(claims.misfits.keys() & bare.keys()) > _CUT_OFF:
        claims.take_back({place: tensors[place] for place in bare})
    claims.find_seconds(sources[0])
    later = {value: again.pop(place) for value, place in places.items() if place in again}
    unnamed = tuple(place for place in open_places if place not in claims.unsure and place not in claims.misfits)
    left = [tensors[place].name for place in unnamed]
    left += [tensors[place].name for repeated in again.values() for place in repeated]
    sizes = [
        f"{tensors[place].name} {spoken_size(tensors[place])}, in the model {graph.values[value].shape}"
        for place, value in claims.misfits.items()
    ]
    return Matched(
        dict(sorted(places.items(), key=lambda item: item[1])),
        tuple(left),
        tuple(tensors[place].name for place in claims.unsure),
        later,
        tuple(sizes),
        unnamed,
        claims.unsure,
    )


def _again(tensors: Sequence[DumpedTensor]) -> dict[int, tuple[int, ...]]:
    """Place of a tensor → places of those that are it once more, by name."""
    numbered: dict[str, dict[int, int]] = defaultdict(dict)
    for place, tensor in enumerate(tensors):
        if (found := _TURN.fullmatch(tensor.name)) is not None:
            numbered[found["name"]][int(found["turn"])] = place
    whole = {name: turns for name, turns in numbered.items() if sorted(turns) == [*range(1, len(turns) + 1)]}
    return {
        place: tuple(whole[tensor.name][turn] for turn in sorted(whole[tensor.name]))
        for place, tensor in enumerate(tensors)
        if tensor.name in whole
    }


def _by_position(
    tensors: Sequence[DumpedTensor], graph: Graph, places: dict[str, int], left: dict[int, DumpedTensor]
) -> None:
    """Inputs and outputs that a format numbers instead of naming them."""
    for role, values in (("input", graph.inputs), ("output", graph.outputs)):
        for place, tensor in enumerate(tensors):
            at = tensor.place
            if tensor.role == role and at is not None and at < len(values) and values[at] in graph.values:
                places.setdefault(values[at], place)
                left.pop(place, None)


@dataclass(slots=True)
class _Claims:
    """Tensors that are a value by name, and those that are ``left``; ``unsure``: the values that names leave them.

    ``misfits``: tensors that have the name of a value and another size.
    """

    graph: Graph
    left: dict[int, DumpedTensor]
    places: dict[str, int] = field(default_factory=dict)
    unsure: dict[int, frozenset[str]] = field(default_factory=dict)
    misfits: dict[int, str] = field(default_factory=dict)

    def claim(self, way: Callable[[str], str], source: Mapping[str, list[str]]) -> None:
        """Give each open tensor the one free value that is called like it."""
        known: dict[str, set[str]] = defaultdict(set)
        for name, values in source.items():
            known[way(name)].update(values)
        claims: dict[str, list[int]] = defaultdict(list)
        for place, tensor in self.left.items():
            free = [value for value in known.get(way(tensor.name), ()) if value not in self.places]
            fitting = [value for value in free if self._may_hold(tensor, value)]
            if len(fitting) == 1 or (len(free) == 1 and way is _exactly):
                claims[(fitting or free)[0]].append(place)
            elif len(free) == 1:
                self.misfits.setdefault(place, free[0])
            elif free:
                self.unsure.setdefault(place, frozenset(fitting or free))
        for value, rivals in claims.items():
            exact = [place for place in rivals if self.left[place].name == value] or rivals
            if len(exact) > 1:
                self.unsure.update(dict.fromkeys(rivals, frozenset({value})))
                continue
            self.places[value] = exact[0]
            for told in (self.left, self.unsure, self.misfits):
                told.pop(exact[0], None)

    def take_back(self, tensors: Mapping[int, DumpedTensor]) -> None:
        """Leave some tensors without a name, under which they were taken for values or would be."""
        for value in [value for value, place in self.places.items() if place in tensors]:
            del self.places[value]
        for told in (self.unsure, self.misfits):
            for place in told.keys() & tensors.keys():
                told.pop(place)
        self.left.update(tensors)

    def find_seconds(self, source: Mapping[str, list[str]]) -> None:
        """Tensors left over whose name, spelled otherwise, is that of a value which another tensor is already."""
        known: dict[str, set[str]] = defaultdict(set)
        for name, values in source.items():
            known[_loosely(name)].update(values)
        for place, tensor in self.left.items():
            held = known.get(_loosely(tensor.name), set())
            if held and held <= self.places.keys() and any(self._may_hold(tensor, value) for value in held):
                self.unsure.setdefault(place, frozenset(held))

    def _may_hold(self, tensor: DumpedTensor, value: str) -> bool:
        return may_hold(tensor, self.graph.values[value].shape, self.graph.channels)


def spoken_size(tensor: DumpedTensor) -> str:
    """How large a tensor is, as far as the dump tells."""
    return f"{tensor.nbytes} bytes" if tensor.shape is None else str(list(tensor.shape))


def _tensor_names(graph: Graph) -> dict[str, list[str]]:
    names: dict[str, list[str]] = defaultdict(list)
    for value in graph.values.values():
        for name in dict.fromkeys((value.id, value.name, *value.aliases)):
            names[name].append(value.id)
    return names


def _node_names(graph: Graph) -> dict[str, list[str]]:
    """What a node computes, by the node's name; of several outputs also by their number."""
    names: dict[str, list[str]] = defaultdict(list)
    for node in graph.nodes:
        outputs = [value for value in node.outputs if value in graph.values]
        if outputs and node.name:
            names[node.name].append(outputs[0])
            for number, value in enumerate(node.outputs):
                if value in graph.values:
                    names[f"{node.name}:{number}"].append(value)
                    names[f"{node.name}_output_{number}"].append(value)
    return names


def _module_names(graph: Graph) -> dict[str, list[str]]:
    """What a module gives back: the last value computed inside it."""
    last: dict[str, str] = {}
    for node in graph.nodes:
        outputs = [value for value in node.outputs if value in graph.values]
        if not node.scope or not outputs or node.kind in SOURCES:
            continue
        parts = node.scope.split(".")
        for count in range(len(parts), 0, -1):
            last[".".join(parts[:count])] = outputs[0]
    return {name: [value] for name, value in last.items()}
