"""What a model is, whatever framework wrote it: nodes, values, weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from aligner.records.array import Array, Wide
from aligner.records.dataclass import dataclass

if TYPE_CHECKING:
    import numpy as np


Shape = tuple[int | None, ...]
"""One entry for each axis; ``None`` where the size is not known before running."""

Attribute = bool | int | float | str | tuple[Any, ...] | None


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale · (stored − zero_point); one entry for each slice along ``axis``, or a single one."""

    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    @property
    def step(self) -> float:
        """The coarsest step; 0 without one, and where a range of infinite numbers leaves none: nothing lies on it."""
        return max(self.scale) if self.scale and all(map(math.isfinite, self.scale)) else 0.0

    def dequantize(self, stored: Array) -> Array:
        """The real values of an integer array, float32; an infinite scale makes infinities, and NaN of its zero."""
        import numpy as np

        scale, zero = self._broadcast(stored.ndim)
        with np.errstate(invalid="ignore"):
            return ((stored.astype(np.float64) - zero) * scale).astype(np.float32)

    def quantize(self, real: Array, dtype: np.dtype[np.generic]) -> Array:
        """The nearest stored values, clipped to the range of the integer ``dtype``."""
        import numpy as np

        scale, zero = self._broadcast(real.ndim)
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        with np.errstate(invalid="ignore"):
            stored = np.rint(real.astype(np.float64) / scale) + zero
            return np.clip(stored, limits.min, limits.max).astype(dtype)

    def _broadcast(self, rank: int) -> tuple[Wide, Wide]:
        import numpy as np

        scale = np.asarray(self.scale, dtype=np.float64)
        zero = np.asarray(self.zero_point or (0,), dtype=np.float64)
        if scale.size == 1 or self.axis is None:
            return scale[:1].reshape(()), zero[:1].reshape(())
        shape = [1] * rank
        shape[self.axis] = scale.size
        return scale.reshape(shape), zero.reshape(shape) if zero.size == scale.size else zero[:1].reshape(())


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor that flows through the graph.

    ``id`` is unique within the graph; ``name`` is the framework's own word, never rewritten, and may repeat.
    ``index`` is the number users look up where the format has one (TFLite tensor index).
    """

    id: str
    name: str
    shape: Shape | None = None
    dtype: str | None = None
    index: int | None = None
    quantization: Quantization | None = None
    aliases: tuple[str, ...] = ()


def _nowhere() -> None:
    """The place of a weight of which none is known."""


class _Referable:
    """Lets a record with slots be referred to weakly."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True)
class Weight(_Referable):
    """A constant stored in the model; ``load()`` returns a read-only array and is called only when needed.

    ``place()`` tells stored bytes from all others, so that those that two files share are looked at once.
    ``spacing()`` says how far apart the codes around each number are where ``load()`` gives what codes stand for and no
    ``quantization`` could say it: scales of blocks, floats of eight bits.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], Array] = field(repr=False, compare=False)
    quantization: Quantization | None = None
    index: int | None = None
    place: Callable[[], Hashable] = field(default=_nowhere, repr=False, compare=False)
    spacing: Callable[[], Array] | None = field(default=None, repr=False, compare=False)

    @property
    def coded(self) -> bool:
        """Whether codes are stored that are told how to be read."""
        return self.spacing is not None or (self.quantization is not None and bool(self.quantization.scale))

    def values(self) -> Array:
        """The numbers the stored weight stands for: quantised ones are scaled back to float32."""
        array = self.load()
        if self.quantization is None or not self.quantization.scale or array.dtype.kind not in "iu":
            return array
        return self.quantization.dequantize(array)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation, in execution order.

    ``inputs`` lists value ids and weight names in the framework's operand order ("" for an absent optional one);
    ``weights`` is the subset that are constants. ``attributes`` use neutral names: ``strides``, ``dilations``,
    ``kernel``, ``pads`` as ((begin, end), …) for each spatial axis, ``groups``, ``epsilon``, ``axis``, ``axes``,
    ``alpha``, ``beta``, ``mode``, ``perm``, ``training``, ``fused_activation``; anything else keeps the framework's
    name.
    ``scope`` is the module path ("layer1.0.conv1"), ``source`` "file.py:12" of the model's own code.
    ``overwrites``: its first operand holds the result afterwards. ``fused``: names of the layers that it was made of,
    where a converter wrote them down.
    """

    index: int
    name: str
    op: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: MappingProxyType({}))
    scope: str | None = None
    source: str | None = None
    overwrites: bool = False
    fused: tuple[str, ...] = ()

    def permutation(self, rank: int) -> tuple[int, ...] | None:
        """The axes of a transposition of so many axes, whichever way it says them; None where it does not."""
        axes, given = list(range(rank)), self.attributes
        perm, first, second = given.get("perm"), given.get("dim0"), given.get("dim1")
        if isinstance(perm, tuple):
            named = tuple(axis % rank for axis in perm if isinstance(axis, int)) if rank else ()
            return named if sorted(named) == axes else None
        if isinstance(first, int) and isinstance(second, int) and rank:
            axes[first % rank], axes[second % rank] = axes[second % rank], axes[first % rank]
            return tuple(axes)
        return tuple(reversed(axes)) if given.get("reverse") else None


class GraphIndex:
    """The dataflow of a sequence of nodes.

    A value that several nodes write (the branches of an if) counts as made by the first of them.
    """

    def __init__(self, nodes: Sequence[Node], inputs: Sequence[str]) -> None:
        self.nodes = nodes
        self._inputs = inputs
        self._producers: dict[str, Node] = {}
        self._readers: dict[str, list[Node]] = {}
        self._varying: frozenset[str] | None = None
        for node in nodes:
            for value in node.outputs:
                if value:
                    self._producers.setdefault(value, node)
            for value in dict.fromkeys(node.inputs):
                if value:
                    self._readers.setdefault(value, []).append(node)

    @property
    def producers(self) -> Mapping[str, Node]:
        """Value → the node that makes it."""
        return self._producers

    def readers(self, value: str) -> Sequence[Node]:
        """The nodes that read a value or weight, each once, in execution order."""
        return self._readers.get(value, ())

    @property
    def varying(self) -> frozenset[str]:
        """The graph's inputs and all that is computed from them."""
        if self._varying is None:
            self._varying = self.descendants(self._inputs)
        return self._varying

    def ancestors(self, values: Iterable[str]) -> frozenset[str]:
        """The values and weights that these are computed from, themselves included."""
        found, stack = set[str](), list(values)
        while stack:
            value = stack.pop()
            if value and value not in found:
                found.add(value)
                node = self._producers.get(value)
                stack += node.inputs if node is not None else ()
        return frozenset(found)

    def descendants(self, values: Iterable[str]) -> frozenset[str]:
        """The values that are computed from these, themselves included."""
        found, stack = set[str](), list(values)
        while stack:
            value = stack.pop()
            if value and value not in found:
                found.add(value)
                for node in self.readers(value):
                    stack += node.outputs
        return frozenset(found)

    def region(self, entries: Collection[str], exit_: str) -> tuple[Node, ...]:
        """The nodes that compute one value from the nearest of the entries, in execution order.

        What reaches the exit past the entries comes from the graph's inputs and constants; its nodes are included.
        """
        found: dict[int, Node] = {}
        stack = [exit_]
        while stack:
            value = stack.pop()
            node = self._producers.get(value)
            if node is None or (value in entries and value != exit_) or node.index in found:
                continue
            found[node.index] = node
            stack += node.inputs
        return tuple(found[index] for index in sorted(found))


@dataclass(frozen=True, slots=True)
class Graph(_Referable):
    """A model's dataflow. ``channels`` says where its convolutions expect the channel axis.

    ``of_one_run``: these are the nodes that ran on one input; on another one the model's code may take another way.
    What it answers of itself is indexed when it is first asked.
    """

    framework: str
    nodes: tuple[Node, ...]
    values: Mapping[str, Value]
    weights: Mapping[str, Weight]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    channels: Literal["first", "last"] = "first"
    notes: tuple[str, ...] = ()
    of_one_run: bool = False
    _index: GraphIndex | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def index(self) -> GraphIndex:
        """Who makes and who reads each value."""
        if self._index is None:
            object.__setattr__(self, "_index", GraphIndex(self.nodes, self.inputs))
        assert self._index is not None
        return self._index

    def producer(self, value: str) -> Node | None:
        """The node that makes a value; None for inputs and weights."""
        return self.index.producers.get(value)

    def readers(self, value: str) -> Sequence[Node]:
        """The nodes that read a value or weight, each once, in execution order."""
        return self.index.readers(value)

    def varies(self, value: str) -> bool:
        """Whether a value is computed from the graph's inputs."""
        return value in self.index.varying

    def ancestors(self, values: Iterable[str]) -> frozenset[str]:
        """The values and weights that these are computed from, themselves included."""
        return self.index.ancestors(values)

    def descendants(self, values: Iterable[str]) -> frozenset[str]:
        """The values that are computed from these, themselves included."""
        return self.index.descendants(values)

    def in_line(self, one: str, other: str) -> bool:
        """Whether one of two values is computed from the other."""
        return one in self.ancestors([other]) or other in self.ancestors([one])

    def region(self, entries: Collection[str], exit_: str) -> tuple[Node, ...]:
        """The nodes that compute one value from the nearest of the entries, in execution order."""
        return self.index.region(entries, exit_)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model says of one of its inputs; ``None`` where it does not say."""

    name: str
    shape: Shape | None = None
    dtype: str | None = None
    required: bool = True
    quantization: Quantization | None = None
    axes: tuple[str, ...] = ()
    """What the model calls each of its sizes ("batch"), "" where it has no word; empty where it has none at all."""
    variadic: bool = False
    """It stands for any number of tensors, fed as "name.0", "name.1", …"""


@dataclass(frozen=True, slots=True)
class Signature:
    """A model's inputs and the names of its outputs, as far as they are known before running."""

    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...] = ()
