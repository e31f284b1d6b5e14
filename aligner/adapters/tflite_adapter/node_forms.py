"""The forms that one operator of a TFLite file may take: other options, constants it reads, another operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.adapters.tflite_adapter.attributes import OPERANDS, Surroundings, attributes_of
from aligner.adapters.tflite_adapter.graph import Naming
from aligner.adapters.tflite_adapter.schema import Model, Operator
from aligner.adapters.tflite_adapter.translation import WORDS, translate
from aligner.operations.call import call_of
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph

_TOGETHER = 2
"""Options of one node that are changed at once: height and width."""
_CODES = range(8)
"""What an option that is a word in the schema is stored as: activations, paddings, modes."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One operator with something else in it: its word, its options, constants that it reads."""

    word: str
    options: Mapping[str, Any]
    constants: Mapping[int, Array]

    @property
    def changes(self) -> int:
        return len(self.options) + len(self.constants)


class NodeForms:
    """Which form of one operator computes what is wanted, told by the adapter's own translation of each."""

    def __init__(self, model: Model, names: Naming, graph: Graph, operator: Operator) -> None:
        self._model, self._names, self._graph, self._operator = model, names, graph, operator
        self._held: dict[str, Array] = {}

    def found(self, step: Step) -> Variant:
        """The form with the fewest changes that answers the step. Raises Unsupported."""
        for variant in sorted(self._variants(step.operation), key=lambda each: each.changes):
            if self._answers(variant, step):
                return variant
        raise Unsupported(f"{self._operator.op} has no such form")

    def _variants(self, wanted: Operation) -> Iterator[Variant]:
        """The node under other options, constants or operators, not all of which mean anything."""
        yield Variant(self._operator.op, {}, {})
        yield from (Variant(word, {}, {}) for word in WORDS)
        numbers = list(_numbers(wanted.settings))
        single = [number for number in numbers if isinstance(number, (int, float))]
        fields = [name for name, value in self._operator.options.items() if isinstance(value, (bool, int, float))]
        for count in range(1, _TOGETHER + 1):
            for names in combinations(fields, count):
                choices = [_choices(self._operator.options[name], single) for name in names]
                for values in product(*choices):
                    yield Variant(self._operator.op, dict(zip(names, values, strict=True)), {})
        for place, _ in OPERANDS.get(self._operator.op, ()):
            stored = self._constant(place)
            for number in numbers if stored is not None else ():
                made = _alike(number, stored)
                if made is not None:
                    yield Variant(self._operator.op, {}, {place: made})

    def _constant(self, place: int) -> Array | None:
        if place >= len(self._operator.inputs) or self._operator.inputs[place] not in self._names.constants:
            return None
        return self._graph.weights[self._names.ids[self._operator.inputs[place]]].load()

    def _answers(self, variant: Variant, step: Step) -> bool:
        """Whether that form computes what the step does, but for numbers that are stored."""
        try:
            made = self._operation(variant)
        except (Unsupported, ValueError, IndexError, TypeError, KeyError, ArithmeticError):
            return False
        wanted = step.operation
        return made.kind == wanted.kind and _equal(dict(made.settings), dict(wanted.settings))

    def constants(self, variant: Variant, step: Step) -> dict[str, Array]:
        """Stored numbers that the step has others for, by the weights' names. Raises Unsupported."""
        made = self._operation(variant)
        wanted = [(made.data[place], given) for place, given in enumerate(step.data) if place < len(made.data)]
        wanted += [(made.parameters[role], given) for role, given in step.parameters.items() if role in made.parameters]
        places = [place for place in range(len(self._operator.inputs)) if self._constant(place) is not None]
        found: dict[str, Array] = {}
        for number, (known, given) in enumerate(wanted):
            if isinstance(given, str) or (known.shape == given.shape and np.array_equal(known, given)):
                continue
            for place in places:
                stored = self._constant(place)
                assert stored is not None
                counted = np.arange(stored.size, dtype=np.float64).reshape(stored.shape)
                again = self._operation(replace(variant, constants={**variant.constants, place: counted}))
                lies = [*again.data, *(again.parameters[role] for role in step.parameters if role in again.parameters)]
                order = lies[number].reshape(-1)
                if order.size == stored.size == given.size and (np.sort(order) == np.arange(stored.size)).all():
                    restored = np.empty(stored.size, known.dtype)
                    restored[order.astype(np.int64)] = given.reshape(-1)
                    found[self._names.ids[self._operator.inputs[place]]] = restored
                    break
            else:
                raise Unsupported(f"{self._operator.op} stores these numbers otherwise")
        return found

    def order(self, variant: Variant, step: Step) -> list[int]:
        """The operator's inputs, the data among them in the step's order. Raises Unsupported where it reads others."""
        now = [self._name(array) for array in self._operation(variant).data]
        inputs = list(self._operator.inputs)
        moved = [(old, new) for old, new in zip(now, step.data, strict=False) if isinstance(new, str) and old != new]
        if not moved:
            return inputs
        if sorted(old or "" for old, _ in moved) != sorted(new for _, new in moved):
            raise Unsupported(f"{self._operator.op} on other tensors")
        change = {self._names.indices[old]: self._names.indices[new] for old, new in moved if old is not None}
        return [change.get(index, index) for index in inputs]

    def _name(self, array: Array) -> str | None:
        return next((name for name, held in self._held.items() if held is array), None)

    def _operation(self, variant: Variant) -> Operation:
        """What the node would be, told by its own translation."""
        node = self._graph.nodes[self._operator.index]
        held = {self._operator.inputs[place]: array for place, array in variant.constants.items()}
        shapes = {tensor.index: tensor.shape for tensor in self._model.main.tensors}
        around = Surroundings(shapes.get, lambda index: held.get(index, self._small(index)))
        changed = replace(self._operator, op=variant.word, options={**self._operator.options, **variant.options})
        node = replace(node, op=variant.word, attributes=attributes_of(changed, around))
        return translate(
            call_of(
                self._graph,
                node,
                lambda name: held.get(self._names.indices[name], self._array(name)),
                self._graph.weights.__contains__,
                lambda name: shapes.get(self._names.indices.get(name, -1)),
            )
        )

    def _small(self, index: int) -> Array | None:
        name = self._names.ids[index] if 0 <= index < len(self._names.ids) else ""
        return self._graph.weights[name].load() if name in self._graph.weights else None

    def _array(self, name: str) -> Array:
        """A weight's numbers; of what is computed only the shape."""
        if name not in self._held:
            weight = self._graph.weights.get(name)
            values = weight.values() if weight is not None else None
            shape = self._model.main.tensors[self._names.indices[name]].shape
            self._held[name] = np.broadcast_to(np.float32(0), shape) if values is None else values
        return self._held[name]


def _numbers(settings: Mapping[str, Any]) -> Iterator[Any]:
    """Every number of the settings, and every tuple of some."""
    waiting = list(settings.values())
    while waiting:
        value = waiting.pop()
        if isinstance(value, (bool, int, float)):
            yield value
        elif isinstance(value, tuple):
            yield value
            waiting += value


def _choices(before: Any, numbers: Sequence[Any]) -> list[Any]:
    """What an option may be instead: numbers of the settings, and the codes of words."""
    if isinstance(before, bool):
        return [not before]
    if isinstance(before, int):
        wanted = [int(number) for number in numbers if float(number).is_integer()]
        return [number for number in dict.fromkeys([*wanted, *_CODES]) if number != before]
    return [number for number in dict.fromkeys(float(each) for each in numbers) if number != before]


def _alike(number: Any, stored: Array | None) -> Array | None:
    """The numbers as a constant of that shape and type, where they are as many."""
    try:
        made = np.asarray(number, dtype=None if stored is None else stored.dtype)
    except (TypeError, ValueError, OverflowError):
        return None
    return made.reshape(stored.shape) if stored is not None and made.size == stored.size else None


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return (
            isinstance(one, (int, float)) and isinstance(other, (int, float)) and np.float32(one) == np.float32(other)
        )
    return bool(one == other)
