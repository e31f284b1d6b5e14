"""What a fused node is told: its operands by place, its attributes by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from aligner.adapters.onnx_adapter.types import ValueType
from aligner.operations.operation import Unsupported
from aligner.records.dataclass import dataclass


@dataclass(frozen=True)
class Given:
    """A node's operands by place and its attributes by name."""

    node: Any
    types: Mapping[str, ValueType]

    def __getitem__(self, place: int) -> str:
        """The operand's name, "" where it is left out."""
        return str(self.node.input[place]) if place < len(self.node.input) else ""

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        from onnx import helper

        return {each.name: helper.get_attribute_value(each) for each in self.node.attribute}

    def number(self, name: str, default: float) -> float:
        return float(self._attributes.get(name, default))

    def numbers(self, name: str) -> list[int]:
        return [int(number) for number in self._attributes.get(name, ())]

    def refuse(self, *attributes: str, operands: tuple[int, ...] = ()) -> None:
        """Raise Unsupported where the node is told what is not written here."""
        if any(self._attributes.get(name) for name in attributes) or any(self[place] for place in operands):
            raise Unsupported(f"{self.node.op_type} as it stands here")

    @property
    def element(self) -> int:
        """The ONNX type that the first result is computed in."""
        return self.types.get(self.node.output[0], ValueType()).element if self.node.output else 0

    def shape(self, place: int) -> tuple[int | None, ...]:
        """Raises Unsupported where the rank is not known."""
        shape = self.types.get(self[place], ValueType()).shape
        if shape is None:
            raise Unsupported("operands of a rank that is not known")
        return shape
