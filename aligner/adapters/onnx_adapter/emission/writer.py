"""Makes nodes and constants under names that the model does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from aligner.adapters.onnx_adapter.dtypes import BFLOAT16
from aligner.adapters.onnx_adapter.names import fresh
from aligner.adapters.rewriting import Step
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

Emitter = Callable[["Writer", "Step"], "str | tuple[str, ...]"]
"""Writes the nodes of a step and says which names its results have."""

_MICROSOFT = "com.microsoft"


class Writer:
    """Collects what is to be added to a graph.

    ``opset`` is the model's; ``element`` the ONNX type that is computed in; ``taken`` are the names in use, which grow.
    ``stem`` begins every new name.
    """

    def __init__(self, opset: int, element: int, taken: set[str], stem: str) -> None:
        self.opset, self.element, self._taken, self._stem = opset, element, taken, stem
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def need(self, opset: int, what: str) -> None:
        """Raise Unsupported where the model's version of the standard lacks something."""
        if self.opset < opset:
            raise Unsupported(f"{what} needs opset {opset}, the model has {self.opset}")

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one result; its name. Empty operands at the end are left out."""
        return self.several(op, 1, *inputs, **attributes)[0]

    def several(self, op: str, count: int, *inputs: str, **attributes: Any) -> tuple[str, ...]:
        """Add a node of several results."""
        from onnx import helper

        given = list(inputs)
        while given and not given[-1]:
            given.pop()
        outputs = [self.name(f"{op}") for _ in range(count)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, given, outputs, name=outputs[0], **attributes))
        return tuple(outputs)

    def along(self, op: str, name: str, axes: list[int]) -> str:
        """A node that is told axes: in an operand from version 13 of the standard on."""
        return self(op, name, axes=axes) if self.opset < 13 else self(op, name, self.integers(axes))

    def name(self, word: str) -> str:
        """A name that nothing has."""
        name = fresh(f"{self._stem}/{word}", self._taken)
        self._taken.add(name)
        return name

    def operand(self, given: str | Array) -> str:
        """The name of an operand; numbers become a constant, floats in the type that is computed in."""
        return given if isinstance(given, str) else self.constant(given)

    def optional(self, step: Step, name: str, shape: tuple[int, ...] | None = None) -> str:
        """A parameter's name, "" where there is none; stored ones in another shape."""
        given = step.parameters.get(name)
        if given is None:
            return ""
        if isinstance(given, str):
            return given
        return self.constant(given if shape is None else given.reshape(shape))

    def constant(self, array: Array) -> str:
        """A stored tensor."""
        from onnx import helper, numpy_helper

        array, name = np.asarray(array), self.name("constant")
        if array.dtype.kind == "f" and self.element == BFLOAT16:
            tensor = helper.make_tensor(name, BFLOAT16, array.shape, array.astype(np.float32).reshape(-1).tolist())
        else:
            if array.dtype.kind == "f":
                array = array.astype(helper.tensor_dtype_to_np_dtype(self.element))
            tensor = numpy_helper.from_array(np.asarray(array, order="C"), name)
        self.initializers.append(tensor)
        return name

    def number(self, value: float) -> str:
        """One number in the type that is computed in."""
        return self.constant(np.asarray(value, np.float64))

    def integers(self, values: Iterable[int]) -> str:
        """A list of whole numbers."""
        return self.constant(np.asarray(list(values), np.int64))

    def constant32(self, values: Iterable[float]) -> str:
        """A list of float32 numbers, whatever is computed in."""
        from onnx import numpy_helper

        name = self.name("constant")
        self.initializers.append(numpy_helper.from_array(np.asarray(list(values), np.float32), name))
        return name

    def transpose(self, name: str, order: Iterable[int]) -> str:
        """Axes in another order; nothing where they stand so."""
        order = [int(axis) for axis in order]
        return name if order == sorted(order) else self("Transpose", name, perm=order)

    def first(self, name: str, rank: int, channels: str) -> str:
        """Channels second."""
        return self.transpose(name, [0, rank - 1, *range(1, rank - 1)]) if channels == "last" else name

    def back(self, name: str, rank: int, channels: str) -> str:
        """The reverse of ``first``."""
        return self.transpose(name, [0, *range(2, rank), 1]) if channels == "last" else name
