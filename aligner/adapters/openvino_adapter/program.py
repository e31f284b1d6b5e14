"""A model's layers in order, under the names that the graph and the runs share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from aligner.adapters.openvino_adapter.constants import is_constant
from aligner.adapters.openvino_adapter.grids import STORED, grid_of
from aligner.adapters.openvino_adapter.types import word_of
from aligner.records.dataclass import dataclass
from aligner.records.graph import Quantization

Place = tuple[int, int]
"""A layer's number in the runtime's order, and which of its results, or STORED."""

_SILENT = frozenset({"Result", "Assign"})
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Program:
    """``ops`` are all layers; ``ids`` name what is computed or fed, ``weights`` what is stored, both by place.

    ``reads``: layer → the places that it reads. ``inputs`` and ``outputs`` are the model's, in its order.
    """

    ops: tuple[Any, ...]
    ids: Mapping[Place, str]
    weights: Mapping[Place, str]
    places: Mapping[str, Place]
    reads: Mapping[int, tuple[Place, ...]]
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    grids: Mapping[int, Quantization]
    """Layer → the grid that it rounds to."""

    def name_of(self, place: Place) -> str:
        """The id of a value or a weight."""
        return self.ids.get(place) or self.weights.get(place, "")

    def output(self, place: Place) -> Any:
        """What the runtime calls a layer's result."""
        return self.ops[place[0]].output(max(place[1], 0))

    def word(self, place: Place) -> str:
        """The element type of a result."""
        return "uint8" if place[1] == STORED else word_of(self.output(place).get_element_type())

    def needed(self, wanted: Iterable[Place], cut: frozenset[Place]) -> frozenset[Place]:
        """What is read on the way to these places; nothing is read through a cut."""
        todo, seen = [number for number, _ in wanted], set[int]()
        found: set[Place] = set()
        while todo:
            number = todo.pop()
            if number in seen:
                continue
            seen.add(number)
            for place in self.reads[number]:
                found.add(place)
                if place not in cut:
                    todo.append(place[0])
        return frozenset(found)


def read_program(model: Any) -> Program:
    """Name what a model's layers compute: by the layer, "layer.0" and so on where several of its results are read.

    A result that nobody reads is nobody's: to look at it would make the runtime take another kernel.
    """
    ops = tuple(model.get_ordered_ops())
    numbers = {op.get_name(): number for number, op in enumerate(ops)}
    reads = {number: tuple(_sources(op, numbers)) for number, op in enumerate(ops)}
    fixed: set[str] = set()
    for op in ops:
        if is_constant(op, fixed.__contains__):
            fixed.add(op.get_name())
    read_by_others = {
        place
        for number, op in enumerate(ops)
        if op.get_name() not in fixed
        for place in reads[number]
        if ops[place[0]].get_name() in fixed
    }
    read = {place for places in reads.values() for place in places}
    taken: dict[str, int] = {}
    ids, weights, grids = dict[Place, str](), dict[Place, str](), dict[int, Quantization]()
    for number, op in enumerate(ops):
        if op.get_type_name() in _SILENT:
            continue
        if op.get_name() in fixed:
            if (number, 0) in read_by_others:
                weights[number, 0] = _fresh(op.get_friendly_name().removeprefix("self."), taken)
            continue
        base = input_name(op) if op.get_type_name() == "Parameter" else op.get_friendly_name()
        results = [place for place in ((number, k) for k in range(op.get_output_size())) if place in read]
        results = results if op.get_type_name() != "Parameter" else [(number, 0)]
        grid = grid_of(op)
        if grid is not None:
            grids[number] = grid
            ids[number, STORED] = _fresh(f"{base}.stored", taken)
        for place in results:
            ids[place] = _fresh(base if len(results) == 1 else f"{base}.{place[1]}", taken)
    inputs = tuple((numbers[op.get_name()], 0) for op in model.get_parameters())
    outputs = tuple(dict.fromkeys(reads[numbers[op.get_name()]][0] for op in model.get_results()))
    places = {name: place for place, name in (*ids.items(), *weights.items())}
    return Program(ops, ids, weights, places, reads, inputs, outputs, grids)


def input_name(op: Any) -> str:
    """What users feed an input by: the name of its tensor, the layer's where it has none."""
    names = op.output(0).get_names()
    friendly: str = op.get_friendly_name()
    return friendly if friendly in names or not names else min(names)


def tensor_names(output: Any, own: str) -> tuple[str, ...]:
    """Other names of a tensor; mere numbers, which a tracer gave, say nothing."""
    return tuple(sorted(name for name in output.get_names() if name != own and not _NUMBER.fullmatch(name)))


def _sources(op: Any, numbers: Mapping[str, int]) -> list[Place]:
    sources = (op.input_value(place) for place in range(op.get_input_size()))
    return [(numbers[source.get_node().get_name()], source.get_index()) for source in sources]


def _fresh(name: str, taken: dict[str, int]) -> str:
    found = name
    while found in taken:
        taken[name] += 1
        found = f"{name}#{taken[name]}"
    taken[found] = 0
    return found
