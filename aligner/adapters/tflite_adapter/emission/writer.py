"""Collects TFLite operators under names that the model does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Step
from aligner.operations.operation import results
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

Emitter = Callable[["Writer", "Step"], "str | tuple[str, ...]"]
"""Writes the operators of a step and says which names its results have."""


@dataclass(frozen=True, slots=True)
class Made:
    """One new operator: the schema's word, what it reads ("" for what is absent), the tensor it makes, its options."""

    word: str
    inputs: tuple[str, ...]
    output: str
    options: tuple[str, Mapping[str, Any]] | None


@dataclass(slots=True)
class Writer:
    """Collects operators and the tensors that they need; ``arrays`` hold constants, or say shapes of what is made.

    ``named`` gives a new tensor a name that nothing has.
    """

    named: Callable[[str], str]
    made: list[Made] = field(default_factory=list)
    arrays: dict[str, Array] = field(default_factory=dict)
    constants: set[str] = field(default_factory=set)

    def __call__(
        self, word: str, result: Array, *inputs: str, options: str = "", told: Mapping[str, Any] | None = None
    ) -> str:
        """Add an operator that makes an array of this shape; the name of its result."""
        name = self.named(word.lower())
        self.made.append(Made(word, inputs, name, (options, told or {}) if options else None))
        self.arrays[name] = result
        return name

    def operand(self, given: str | Array) -> str:
        """The name of an operand; numbers become a constant, floats in float32."""
        if isinstance(given, str):
            return given
        name = self.named("constant")
        self.arrays[name] = np.asarray(given, np.float32 if given.dtype.kind == "f" else given.dtype)
        self.constants.add(name)
        return name

    def integers(self, values: Iterable[Any]) -> str:
        """A constant of whole numbers."""
        return self.operand(np.asarray(list(values), np.int32))

    def transpose(self, name: str, shown: Array, order: Iterable[int]) -> tuple[str, Array]:
        """Axes in another order, with what says the shape; two in a row become one, and none where they cancel."""
        order, before = tuple(order), next((one for one in self.made if one.output == name), None)
        if before is not None and before.word == "TRANSPOSE":
            first = self.arrays[before.inputs[1]].tolist()
            name, together = before.inputs[0], tuple(first[axis] for axis in order)
        else:
            together = order
        shown = shown.transpose(order)
        if together == tuple(range(len(together))):
            return name, shown
        return self("TRANSPOSE", shown, name, self.integers(together)), shown

    def reshape(self, name: str, shown: Array, shape: Iterable[int]) -> tuple[str, Array]:
        """Another shape."""
        shown = shown.reshape(tuple(shape))
        return self("RESHAPE", shown, name, self.integers(shown.shape)), shown


def result_of(step: Step) -> Array:
    """What the step makes, first of all its shape."""
    return results(step.operation)[0]


def plain(word: str, options: str = "", **names: str) -> Emitter:
    """An operator on the step's operands; ``names``: the schema's option → the setting that it is."""

    def emitter(w: Writer, step: Step) -> str:
        told = {option: step.operation.settings[setting] for option, setting in names.items()}
        return w(word, result_of(step), *map(w.operand, step.data), options=options, told=told)

    return emitter
