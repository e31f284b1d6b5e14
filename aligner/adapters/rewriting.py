"""What an adapter may offer besides reading: to write its file again with some computations replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from aligner.operations.lowering import lower, lowers
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation with the names of what it reads and makes.

    ``data`` and ``parameters`` stand for those of the operation, whose own arrays say shapes alone: a value of the
    model or an earlier step's result by name, or numbers to be stored. ``results`` name what it makes, in order; "" for
    what nobody reads.
    """

    operation: Operation
    data: tuple[str | Array, ...]
    results: tuple[str, ...]
    parameters: Mapping[str, str | Array] = field(default_factory=dict)


def in_primitives(step: Step, emit: Callable[[Step], tuple[str, ...]]) -> tuple[str, ...]:
    """Write a step by the primitives that make it, whose arrays are known by identity. Raises Unsupported."""
    operation = step.operation
    if not lowers(operation):
        raise Unsupported(operation.kind)
    given = [(operation.data[place], name) for place, name in enumerate(step.data)]
    given += [(operation.parameters[role], name) for role, name in step.parameters.items()]
    flowing = [array for array, name in given if isinstance(name, str)]

    def called(array: Array) -> str | Array:
        known = next((name for held, name in reversed(given) if held is array), None)
        if known is None and any(np.may_share_memory(array, one) for one in flowing):
            raise Unsupported("a view of what is computed")
        return array if known is None else known

    for primitive in lower(operation):
        inner = primitive.operation
        parameters = {role: called(array) for role, array in inner.parameters.items()}
        (name, *_) = emit(Step(inner, tuple(map(called, inner.data)), ("result",), parameters))
        given.append((primitive.value, name))
        flowing.append(primitive.value)
    return (str(given[-1][1]),)


@dataclass(frozen=True, slots=True, eq=False)
class Recompute:
    """Values of the model computed by these steps from now on; they keep their names, and so do their readers.

    ``values`` maps each of them to the step result that it becomes. ``dtype``: what is computed in, which results are
    cast to and operands from where theirs is another; None: the value's own. What nobody reads any more goes.
    ``outputs``: the model's outputs alone become that; nodes that read the values go on to read what they were.
    """

    values: Mapping[str, str]
    steps: tuple[Step, ...]
    dtype: str | None = None
    outputs: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Restore:
    """Other numbers in a stored weight, in its own shape; real ones where it is stored quantised."""

    weight: str
    array: Array


@dataclass(frozen=True, slots=True)
class Regrid:
    """Another step and offset for the integers that a value is computed in, where the value itself declares them."""

    value: str
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Reorder:
    """The model's outputs in another order: the places, in the order in which they are now, of all or of some."""

    places: tuple[int, ...]


Edit = Recompute | Restore | Regrid | Reorder
Changed = tuple[str, ...]
"""What an edit has changed, a line each."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """A part of a model as a file of its own, and how its runtime runs it.

    ``script`` is Python that imports the runtime and nothing else beside numpy (``np``), reads the list ``inputs`` of
    arrays and leaves the result in ``got`` and the runtime's name and version in ``runtime``.
    """

    file: str
    script: str


@runtime_checkable
class Extracts(Protocol):
    """An adapter that can write a part of a file of its own."""

    def extract(self, target: Path, inputs: Mapping[str, Array], output: str, folder: Path) -> Extracted:
        """Write what computes one value from others, fed ``inputs``, into a folder.

        Raises Unsupported where that part cannot stand alone.
        """


@runtime_checkable
class Rewrites(Protocol):
    """An adapter that can write a file of its own again, edited."""

    def rewrite(self, target: Path, groups: Sequence[Sequence[Edit]], output: Path) -> list[Changed | None]:
        """Write ``target`` with these edits to ``output``; the original is left as it is.

        Each group is made as a whole: what it has changed, a line each ("- " before, "+ " after), None where an edit of
        it cannot be written in this format. Raises Unsupported where the file cannot be written at all.
        """
