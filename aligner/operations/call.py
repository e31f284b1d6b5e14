"""A node with the arrays it reads: what an adapter translates into an operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aligner.operations.kinds import SHOWN_AS, TRAITS
from aligner.operations.operation import Operation, Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Attribute, Graph, Node, Quantization, Shape, Value, Weight

Translation = Callable[["Call"], Operation]
"""What makes an operation of a node; raises Unsupported for what it does not know."""
Vocabulary = Mapping[str, Translation]
"""A framework's word → its translation."""


@dataclass(frozen=True, slots=True)
class OfKind:
    """A translation whose operations are all of one kind: what its words mean is known before a node is seen."""

    kind: str
    translation: Translation

    def __call__(self, call: Call) -> Operation:
        """The operation of a node."""
        return self.translation(call)


def of_kind(kind: str) -> Callable[[Translation], OfKind]:
    """Say of a translation that its words are of a kind of nodes, in the place of an adapter's list of kinds.

    Raises TypeError for a kind without a row.
    """
    if kind not in TRAITS:
        raise TypeError(f"{kind} has no row in operations/kinds.py")
    return lambda translation: OfKind(kind, translation)


def kind_said(words: Vocabulary, word: str, otherwise: str) -> str:
    """The kind of nodes that a vocabulary says of a word, for those that an adapter's own list of kinds leaves out."""
    kind = getattr(words.get(word), "kind", "")
    kind = SHOWN_AS.get(kind, kind)
    return kind if kind in TRAITS else otherwise


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A node with the arrays it reads, None for absent operands; ``constant`` says which of them are weights.

    Quantized operands arrive as the real numbers they stand for. ``inputs`` and ``outputs`` are what the graph says of
    the operands and results, shapes as they were seen. ``channels`` is where convolutions have their channels.
    """

    node: Node
    operands: Sequence[Array | None]
    constant: Sequence[bool]
    channels: str
    inputs: Sequence[Value | Weight | None] = ()
    outputs: Sequence[Value | None] = ()

    @property
    def attributes(self) -> Mapping[str, Attribute]:
        """The node's own."""
        return self.node.attributes

    @property
    def given(self) -> list[Array]:
        """The operands that are there, in order."""
        return [operand for operand in self.operands if operand is not None]

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The first result's shape; None where it is not known."""
        return self.shape_of(0)

    def shape_of(self, place: int) -> tuple[int, ...] | None:
        """A result's shape; None where it is not known."""
        value = self.outputs[place] if place < len(self.outputs) else None
        if value is None or value.shape is None:
            return None
        known = tuple(size for size in value.shape if size is not None)
        return known if len(known) == len(value.shape) else None

    def need_shape(self, place: int = 0) -> tuple[int, ...]:
        """A result's shape; raises Unsupported where it is not known."""
        found = self.shape_of(place)
        if found is None:
            raise self.unknown("a result of unknown shape")
        return found

    def dtype(self, place: int = 0) -> str:
        """A result's dtype in the framework's word, "" where it is not known."""
        value = self.outputs[place] if place < len(self.outputs) else None
        return (value.dtype or "") if value is not None else ""

    def quantization(self, place: int = 0) -> Quantization | None:
        """How a result's stored integers are meant."""
        value = self.outputs[place] if place < len(self.outputs) else None
        return value.quantization if value is not None else None

    def unknown(self, why: str = "") -> Unsupported:
        """The error to raise for a form that is not known."""
        return Unsupported(f"{self.node.op}: {why}" if why else self.node.op)

    def operand(self, place: int) -> Array | None:
        """The operand at a place, None where there is none."""
        return self.operands[place] if place < len(self.operands) else None

    def need(self, place: int) -> Array:
        """The operand at a place; raises Unsupported where there is none."""
        found = self.operand(place)
        if found is None:
            raise self.unknown(f"no operand {place}")
        return found

    def is_constant(self, place: int) -> bool:
        """Whether the operand at a place is a weight."""
        return place < len(self.constant) and self.constant[place]

    def number(self, *names: str, default: float) -> float:
        """The first of these attributes that is a number."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, (int, float)):
                return float(value)
        return default

    def integer(self, *names: str, default: int | None = None) -> int:
        """The first of these attributes that is a whole number; raises Unsupported where there is none."""
        for name in names:
            value = self.attributes.get(name)
            if isinstance(value, int):
                return int(value)
        if default is None:
            raise self.unknown(f"no {names[0]}")
        return default

    def axis(self, rank: int, default: int | None = None) -> int:
        """The axis that the node says, from the front of ``rank`` axes; raises Unsupported where there is none."""
        return self.integer("axis", "dim", default=default) % max(rank, 1)

    def text(self, name: str, default: str) -> str:
        """An attribute in lower case."""
        return str(self.attributes.get(name, default)).lower()

    def flag(self, name: str, *, default: bool = False) -> bool:
        """An attribute that is true or false."""
        return bool(self.attributes.get(name, default))

    def numbers(self, name: str) -> tuple[Any, ...] | None:
        """An attribute of several numbers; a single one counts as a tuple of one."""
        value = self.attributes.get(name)
        if isinstance(value, tuple):
            return value
        return (value,) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def integers(self, place: int) -> tuple[int, ...] | None:
        """The whole numbers that an operand holds."""
        found = self.operand(place)
        return None if found is None else tuple(int(number) for number in found.reshape(-1))

    def need_integers(self, place: int) -> tuple[int, ...]:
        """The whole numbers that an operand holds; raises Unsupported where there is none."""
        return tuple(int(number) for number in self.need(place).reshape(-1))


def call_of(
    graph: Graph,
    node: Node,
    array: Callable[[str], Array | None],
    constant: Callable[[str], bool],
    shape: Callable[[str], Shape | None],
) -> Call:
    """A node of a graph: what its operands held, which of them are weights, and the shapes seen of its results.

    Raises Unsupported where an operand was not seen.
    """
    operands = [array(name) if name else None for name in node.inputs]
    if any(name and operand is None for name, operand in zip(node.inputs, operands, strict=True)):
        raise Unsupported(f"{node.op} reads what was not seen")
    return Call(
        node,
        operands,
        [bool(name) and constant(name) for name in node.inputs],
        str(node.attributes.get("channels") or graph.channels),
        [graph.values.get(name) or graph.weights.get(name) for name in node.inputs],
        [_as_seen(graph.values.get(name), shape(name)) for name in node.outputs],
    )


def _as_seen(value: Value | None, shape: Shape | None) -> Value | None:
    return value if value is None or shape is None else replace(value, shape=shape)


def layer_parameters(kernel: Array, bias: Array | None) -> dict[str, Array]:
    """A kernel in the canonical layout, and a number for each output where there is one."""
    return {"kernel": kernel} if bias is None else {"kernel": kernel, "bias": bias.reshape(-1)}


def norm_parameters(*arrays: Array | None) -> dict[str, Array]:
    """Scale, shift, mean and variance, those that are there."""
    names = ("scale", "shift", "mean", "variance")
    return {name: array for name, array in zip(names, arrays, strict=False) if array is not None}


def with_range(operation: Operation, call: Call) -> Operation:
    """The operation with the limits of the grid that its result is stored on, as real numbers."""
    grid = call.quantization()
    stored = STORED.get(call.dtype())
    if grid is None or stored is None or len(grid.scale) != 1:
        return operation
    zero = grid.zero_point[0] if grid.zero_point else 0
    return operation.with_settings(range=tuple((limit - zero) * grid.scale[0] for limit in stored))


STORED = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}
"""Type → the limits of what it stores."""


def with_fused_activation(operation: Operation, call: Call) -> Operation:
    """The operation with the activation that is written into its node."""
    fused = call.text("fused_activation", "none")
    return operation if fused == "none" else operation.with_settings(fused_activation=fused)
