"""What the arrays of an operation are called in the model: values that flow, or constants that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import permutations

from aligner.adapters.rewriting import Step
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.subgraph import Subgraph

_MOST_AXES = 5


class Naming:
    """Names the operands of one side's operations by the identity of their arrays.

    ``renamed`` says what a value of this side is called where the steps will stand.
    """

    def __init__(self, subgraph: Subgraph, renamed: Callable[[str], str]) -> None:
        self._subgraph, self._renamed = subgraph, renamed
        self._views = 0

    def steps(self, node: Node, operation: Operation, results: Iterable[str]) -> list[Step]:
        """The operation as a step, after steps that move or reshape what it reads.

        Raises Unsupported where an array cannot be told from what the node reads.
        """
        arrays = self._arrays(node)
        found: list[Step] = []
        seen: set[str] = set()

        def name(array: Array) -> str | Array:
            for value, held in arrays.items():
                if held is array:
                    seen.add(value)
                    return self._given(value, array)
            for value, held in arrays.items():
                view = _view(held, array) if self._subgraph.varies(value) else None
                if view is not None:
                    seen.add(value)
                    self._views += 1
                    made = f"{value}/view{self._views}"
                    found.append(Step(view, (self._renamed(value),), (made,)))
                    return made
            return array

        data = tuple(name(array) for array in operation.data)
        parameters = {role: name(array) for role, array in operation.parameters.items()}
        lost = [value for value in node.inputs if value and self._subgraph.varies(value) and value not in seen]
        constants = [given for given in (*data, *parameters.values()) if not isinstance(given, str)]
        if lost and constants and any(array.size > 1 for array in constants):
            raise Unsupported(f"what {node.name} makes of {lost[0]} before it computes")
        return [*found, Step(operation, data, tuple(results), parameters)]

    def _given(self, value: str, array: Array) -> str | Array:
        return self._renamed(value) if self._subgraph.varies(value) else array

    def _arrays(self, node: Node) -> Mapping[str, Array]:
        """What the node reads, then whatever else the region knows: an edit may have chosen that."""
        names = dict.fromkeys([*(name for name in node.inputs if name), *self._subgraph.values])
        found = {name: self._subgraph.array(name) for name in names}
        known = {name: array for name, array in found.items() if array is not None}
        return {**known, **self._subgraph.stand_ins.get(node.index, {})}


def _view(held: Array, array: Array) -> Operation | None:
    """What makes one array of the other, both being views of the same numbers."""
    if held.size != array.size or held.dtype != array.dtype or held.size < 2 or not _same_place(held, array):
        return None
    again = held.reshape(array.shape)
    if _same(again, array):
        return Operation("reshape", {"shape": array.shape, "before": None}, (held,))
    for perm in permutations(range(held.ndim)) if held.ndim <= _MOST_AXES else ():
        if _same(held.transpose(perm), array):
            return Operation("transpose", {"perm": perm}, (held,))
    return None


def _same_place(held: Array, array: Array) -> bool:
    return bool(held.__array_interface__["data"][0] == array.__array_interface__["data"][0])


def _same(one: Array, other: Array) -> bool:
    """Whether two arrays are one view; axes of length one have no stride that matters."""
    if one.shape != other.shape or not _same_place(one, other):
        return False
    steps = [[step for step, size in zip(each.strides, each.shape, strict=True) if size > 1] for each in (one, other)]
    return steps[0] == steps[1]
