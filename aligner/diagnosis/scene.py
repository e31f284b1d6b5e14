"""A culprit's region on both sides: what every cause looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aligner.diagnosis.replay import (  # noqa: F401 - importing a module registers what it computes
    activation,
    arithmetic,
    attending,
    convolution,
    moving,
    normalising,
    pooling,
    recurrence,
    resizing,
)
from aligner.diagnosis.replay.operation import Call, Operation, Unsupported, compute, read
from aligner.records.axis_order import to_reference
from aligner.records.graph import Graph, Node, Weight
from aligner.records.measurement import Measured

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

MISFIT = 1e-2
"""Share of the reference's norm that stands for the error where shapes do not fit and none can be measured."""
FAITHFUL = 0.05
"""A replay counts as faithful when it misses the real output by at most this share of the error to be explained."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """Arrays of one culprit: its output on both sides, and what both regions read and computed.

    ``expected`` is the reference's output; ``found`` the candidate's local output in the reference's axis order, None
    where the shapes do not fit. ``values`` holds, for each side, arrays by value id in that side's own layout; the
    candidate's are those of the local run, so its region's inputs are the reference's tensors.
    """

    expected: Array
    found: Array | None
    values: tuple[Mapping[str, Array], Mapping[str, Array]]
    dtype: str = "float32"
    found_dtype: str = "float32"


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What a hypothesis alters in a region: operations of some nodes, or arrays of some values and weights."""

    operations: Mapping[int, Callable[[Operation], Operation]] = field(default_factory=dict)
    arrays: Mapping[str, Array] = field(default_factory=dict)


def change_node(node: Node, edit: Callable[[Operation], Operation]) -> Change:
    """Alter what one node computes."""
    return Change(operations={node.index: edit})


_RECODING = frozenset({"transpose", "cast", "identity", "dequantize", "reshape"})

_MOST_CONSTANT = 64
"""Nodes before a region's constant operands that are looked at."""


class Part:
    """One side of a scene: its nodes, and the means to compute them again."""

    def __init__(self, graph: Graph, measured: Measured, side: int, evidence: Evidence | None) -> None:
        pair = measured.pair
        region = (pair.reference_region, pair.candidate_region)[side]
        self.graph, self.side, self.region = graph, side, region
        self.output = (pair.reference, pair.candidate)[side]
        self.nodes: tuple[Node, ...] = tuple(graph.nodes[i] for i in region.nodes)
        self.weights: tuple[Weight, ...] = tuple(
            graph.weights[name] for name in region.weights if name in graph.weights
        )
        self.values: Mapping[str, Array] = evidence.values[side] if evidence else {}
        self._loaded: dict[str, Array] = {}
        self._operations: dict[int, Operation | None] = {}
        self._unknown: set[str] = set()
        self._varying: dict[str, bool] = {}

    @cached_property
    def _all(self) -> dict[str, Node]:
        return {value: node for node in self.graph.nodes for value in node.outputs}

    @property
    def node(self) -> Node | None:
        """The node a user should open: the weightiest of the region, else the last."""
        for kind in _PRINCIPAL:
            for node in self.nodes:
                if node.kind == kind:
                    return node
        return self.nodes[-1] if self.nodes else None

    @cached_property
    def constant_nodes(self) -> tuple[Node, ...]:
        """What computes the region's constant operands (position embeddings, biases by distance), in order."""
        found: dict[int, Node] = {}
        inside = set(self.region.nodes)
        names = [name for node in self.nodes for name in node.inputs]
        while names and len(found) < _MOST_CONSTANT:
            name = names.pop()
            node = self._all.get(name)
            if node is None or name in self.region.inputs or node.index in inside or node.index in found:
                continue
            found[node.index] = node
            names += node.inputs
        return tuple(found[index] for index in sorted(found))

    def stored(self, name: str) -> Weight | None:
        """The weight that a value is, or is moved or recoded from."""
        for _ in range(8):
            if name in self.graph.weights:
                return self.graph.weights[name]
            node = self._all.get(name)
            if node is None or node.kind not in _RECODING or not node.inputs:
                return None
            name = node.inputs[0]
        return None

    def quantized(self, node: Node) -> Weight | None:
        """The matrix stored in few bits that a node reads."""
        stored = [weight for name in node.inputs if name and (weight := self.stored(name)) is not None]
        found = [w for w in stored if w.quantization is not None and w.quantization.scale and len(w.shape) > 1]
        return found[0] if found else None

    def of_kind(self, *kinds: str) -> tuple[Node, ...]:
        """The region's nodes of these kinds, in order."""
        return tuple(node for node in self.nodes if node.kind in kinds)

    def weight(self, name: str) -> Array | None:
        """A stored weight's real numbers, read once."""
        if name not in self._loaded:
            if name not in self.graph.weights:
                return None
            self._loaded[name] = self.graph.weights[name].values()
        return self._loaded[name]

    def array(self, name: str) -> Array | None:
        """What a value held, or a weight holds; constants computed from weights are computed."""
        if name in self.values:
            return self.values[name]
        stored = self.weight(name)
        if stored is not None:
            return stored
        node = self._all.get(name)
        if node is None or len(node.outputs) != 1 or not node.inputs or name in self._unknown:
            return None
        if node.kind == "dequantize" and (restored := self.stored(name)) is not None and restored.quantization:
            return self._loaded.setdefault(name, restored.values())  # real numbers already
        if name not in self._loaded:
            self._unknown.add(name)  # until it is known: also ends the walk where nodes read each other
            try:
                self._loaded[name] = compute(read(self._call(node, {})))
            except Unsupported:
                return None
            self._unknown.discard(name)
        return self._loaded[name]

    def operation(self, node: Node) -> Operation | None:
        """The node in neutral words, None where it is not understood."""
        if node.index not in self._operations:
            try:
                self._operations[node.index] = read(self._call(node, self._stand_ins(node)))
            except (Unsupported, ValueError, IndexError, TypeError):
                self._operations[node.index] = None
        return self._operations[node.index]

    def _stand_ins(self, node: Node) -> dict[str, Array]:
        """Zeros of the declared shapes for what was not seen: enough to read settings and weights, not to compute."""
        import numpy as np

        if self.values:
            return {}
        found: dict[str, Array] = {}
        for name in node.inputs:
            value = self.graph.values.get(name) if name else None
            if value is None or value.shape is None or self.constant(name):
                continue
            if node.kind in _PRINCIPAL and not self.varies(name):
                continue  # parameters that are computed: zeros would be taken for them
            dtype = np.int64 if "int" in (value.dtype or "") else np.float32
            found[name] = np.broadcast_to(dtype(0), [dim or 1 for dim in value.shape])
        return found

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """A value's shape as it was seen, else as it is declared."""
        if name in self.values:
            return tuple(self.values[name].shape)
        known = self.graph.values.get(name)
        return known.shape if known is not None else None

    def varies(self, name: str) -> bool:
        """Whether a value depends on the model's inputs."""
        if name not in self._varying:
            seen, names = set[str](), [name]
            while names and not seen & set(self.graph.inputs):
                value = names.pop()
                if value not in seen and value not in self.graph.weights:
                    seen.add(value)
                    maker = self._all.get(value)
                    names += maker.inputs if maker is not None else []
            self._varying[name] = bool(seen & set(self.graph.inputs))
        return self._varying[name]

    def _call(self, node: Node, fresh: Mapping[str, Array]) -> Call:
        operands = [(fresh[n] if n in fresh else self.array(n)) if n else None for n in node.inputs]
        if any(n and o is None for n, o in zip(node.inputs, operands, strict=True)):
            raise Unsupported(f"{node.op} reads what was not seen")
        output = node.outputs[0] if node.outputs else ""
        shape = tuple(self.values[output].shape) if output in self.values else None
        if shape is None and output in self.graph.values:
            declared = self.graph.values[output].shape
            if declared is not None and None not in declared:
                shape = tuple(int(d or 0) for d in declared)
        constant = [self.constant(n) for n in node.inputs]
        return Call(node, operands, constant, self.graph.channels, shape)

    def constant(self, name: str) -> bool:
        """Whether a value is a stored weight, or one that was only moved or recoded."""
        return self.stored(name) is not None

    def replay(self, change: Change | None = None) -> Array:
        """The region's output with something changed: what the change reaches is computed, the rest was seen.

        Without a change every node is computed that can be. Raises Unsupported.
        """
        fresh: dict[str, Array] = dict(change.arrays) if change else {}
        edits = change.operations if change else {}
        inside = edits.keys() <= set(self.region.nodes)
        for node in self.nodes if inside else (*self.constant_nodes, *self.nodes):
            touched = node.index in edits or any(name in fresh for name in node.inputs)
            if change is not None and not touched:
                continue
            if not node.outputs or (change is not None and node.outputs[0] in change.arrays):
                continue
            try:
                operation = read(self._call(node, fresh))
                if node.index in edits:
                    operation = edits[node.index](operation)
                fresh[node.outputs[0]] = compute(operation)
            except Unsupported:
                if change is not None or node.outputs[0] not in self.values or node.outputs[0] == self.output:
                    raise
        if self.output not in fresh:
            raise Unsupported("the change does not reach the output")
        return fresh[self.output]


_PRINCIPAL = (
    "conv",
    "conv_transpose",
    "matmul",
    "recurrent",
    "attention",
    "norm",
    "resize",
    "max_pool",
    "avg_pool",
    "softmax",
    "depth_to_space",
    "concat",
    "pad",
)


class Scene:
    """One guilty pair: both sides' regions, and the arrays of its local error where they were gathered."""

    def __init__(self, graphs: tuple[Graph, Graph], measured: Measured, evidence: Evidence | None = None) -> None:
        self.measured, self.evidence, self.graphs = measured, evidence, graphs
        self.reference = Part(graphs[0], measured, 0, evidence)
        self.candidate = Part(graphs[1], measured, 1, evidence)
        self.parts = (self.reference, self.candidate)
        self._faithful: dict[tuple[int, frozenset[int], frozenset[str]], bool] = {}

    @property
    def where(self) -> str:
        """The node a user should open, in the candidate's words."""
        node = self.candidate.node
        return node.name if node else self.measured.pair.candidate

    @property
    def source(self) -> str | None:
        """The line of the model's own code, where the reference knows it."""
        node = self.reference.node
        return node.source if node else None

    @cached_property
    def expected(self) -> Array | None:
        """The reference's output."""
        return self.evidence.expected if self.evidence else None

    @cached_property
    def found(self) -> Array | None:
        """The candidate's local output in the reference's order."""
        return self.evidence.found if self.evidence else None

    @cached_property
    def computed(self) -> Array | None:
        """What the candidate computed in the reference's order, in a shape of its own where the two do not fit."""
        raw = self.candidate.values.get(self.candidate.output)
        return self.found if self.found is not None or raw is None else self._turned(raw)

    @property
    def misfit(self) -> bool:
        """Whether both outputs are known and their shapes do not fit."""
        return self.expected is not None and self.found is None and self.computed is not None

    @cached_property
    def gap(self) -> float:
        """‖candidate − reference‖ over what is finite on both sides; 0 where it was not measured.

        Where the shapes do not fit, a small share of ‖reference‖: only a prediction that comes close proves a thing.
        """
        if self.misfit and self.expected is not None:
            return MISFIT * distance(self.expected, 0 * self.expected)
        if self.expected is None or self.found is None:
            return 0.0
        return distance(self.found, self.expected)

    def _turned(self, array: Array) -> Array:
        """The candidate's array in the reference's order of axes, whatever its sizes."""
        axes = self.measured.pair.axes
        channels = self.graphs[0].channels, self.graphs[1].channels
        if axes is None and channels[0] != channels[1] and array.ndim in (4, 5):
            order = list(range(array.ndim))
            axes = (0, *order[2:], 1) if channels[1] == "last" else (0, order[-1], *order[1:-1])
        return array if axes is None or len(axes) != array.ndim else array.transpose(_inverse(axes))

    def in_order(self, array: Array, side: int) -> Array | None:
        """An output of one side's region in the reference's axis order and shape; in its own where nothing fits."""
        if self.expected is None:
            return None
        if self.misfit:
            return self._turned(array) if side == 1 else array
        return in_order(array, self.measured.pair.axes if side == 1 else None, self.expected.shape)

    def target(self, side: int) -> Array | None:
        """What a change of one side's region should reproduce: the other side's output."""
        return self.computed if side == 0 else self.expected

    def actual(self, side: int) -> Array | None:
        """What one side's region really computed."""
        return self.expected if side == 0 else self.computed

    def faithful(self, side: int, change: Change) -> bool:
        """Whether the replay of what the change reaches, unchanged, gives what that side really computed."""
        key = side, frozenset(change.operations), frozenset(change.arrays)
        if key not in self._faithful:
            part, actual = self.parts[side], self.actual(side)
            same: dict[str, Any] = {}
            for name in change.arrays:
                array = part.array(name)
                if array is not None:
                    same[name] = array
            plain = Change(dict.fromkeys(change.operations, _unchanged), same)
            self._faithful[key] = False
            if actual is not None and self.gap > 0 and len(same) == len(change.arrays):
                try:
                    again = self.in_order(part.replay(plain), side)
                except Unsupported:
                    again = None
                self._faithful[key] = again is not None and distance(again, actual) <= FAITHFUL * self.gap
        return self._faithful[key]

    def predict(self, side: int, change: Change) -> Array | None:
        """One side's output under a change, in the reference's order; None where the replay cannot be trusted."""
        if not self.faithful(side, change):
            return None
        try:
            return self.in_order(self.parts[side].replay(change), side)
        except Unsupported:
            return None

    def prediction(self, part: Part, node: Node, edit: Callable[[Operation], Operation]) -> Callable[[], Array | None]:
        """What one side's output becomes when one node computes something else; evaluated when it is asked for."""
        return lambda: self.predict(part.side, change_node(node, edit))

    def replaced(self, part: Part, node: Node, other: Operation) -> Callable[[], Array | None]:
        """Likewise for a whole operation in another's place."""
        return self.prediction(part, node, lambda _: other)

    def swapped(self, part: Part, name: str, array: Array) -> Callable[[], Array | None]:
        """Likewise when a value or weight of one side holds something else."""
        return lambda: self.predict(part.side, Change(arrays={name: array}))

    def nodes(self, *kinds: str, constant: bool = False) -> Iterator[tuple[Part, Node, Operation]]:
        """Nodes of these kinds that are understood: the reference's first; those of ``constant`` operands as well."""
        for part in self.parts:
            before = [node for node in part.constant_nodes if node.kind in kinds] if constant else []
            for node in (*before, *part.of_kind(*kinds)):
                operation = part.operation(node)
                if operation is not None:
                    yield part, node, operation

    def partner(self, part: Part, node: Node) -> tuple[Node, Operation] | None:
        """The other side's node of the same kind, when it is the only one at that place."""
        other = self.parts[1 - part.side]
        mine, theirs = part.of_kind(node.kind), other.of_kind(node.kind)
        if len(mine) != len(theirs):
            return None
        partner = theirs[mine.index(node)]
        operation = other.operation(partner)
        return (partner, operation) if operation is not None else None


def _inverse(axes: tuple[int, ...]) -> list[int]:
    return sorted(range(len(axes)), key=axes.__getitem__)


def _unchanged(operation: Operation) -> Operation:
    return operation


def distance(left: Array, right: Array) -> float:
    """Euclidean, float64, over elements finite on both sides; infinite where none is or shapes differ."""
    import numpy as np

    if left.shape != right.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        delta = left.astype(np.float64) - right.astype(np.float64)
        finite = np.isfinite(delta)
        if not finite.all():
            delta = delta[finite]
        return float(np.linalg.norm(delta.reshape(-1))) if delta.size else float("inf")


in_order = to_reference
"""An array in the reference's order and shape, None if it does not fit."""
