"""Operations that only one side runs: exchanged for another one, left out, added, applied twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.errors import listing
from aligner.operations.kinds import BINARY, ELEMENTWISE, KEEPS_AXES, PARAMETRIC, QUANTIZES, SOURCES, SUMS_AXIS
from aligner.operations.operation import Operation, Unsupported, compute
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit, in_order
from aligner.regions.subgraph import Subgraph

_LONGEST = 16
"""Operations in a row that are left out together."""
_LEFT = SOURCES | QUANTIZES
"""Kinds that are not left out: fewer bits are no fault, and what makes them one has causes of its own."""
_ALL = 0.999
"""Share of the error that must go where which operations are too many is not seen from their kinds."""


class OperationChanged(Cause):
    """Another operation on the same operands: square for abs, log for log2, selu for elu."""

    id: ClassVar[str] = "operation-changed"
    fix: ClassVar[str] = "compute what the reference computes"
    example: ClassVar[str] = "abs for a square, log2 for log"
    general: ClassVar[bool] = True

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Each operation that only one side runs, in the place of each that only the other side runs."""
        alone = [_alone(culprit, side) for side in (0, 1)]
        for side in (1, 0):
            for node, own in alone[side]:
                for other, theirs in alone[1 - side]:
                    data = _operands(own, theirs)
                    if data is None or own.kind == theirs.kind or {node.kind, other.kind} & PARAMETRIC:
                        continue
                    if {node.kind, other.kind} <= BINARY and len(set(map(id, data))) > 1:
                        continue  # sums and products have a cause of their own
                    yield _exchanged(culprit, side, node, other, replace(theirs, data=data))


def _alone(culprit: Culprit, side: int) -> list[tuple[Node, Operation]]:
    """Nodes of one side whose kind of operation stands there more often than on the other side."""
    found = [
        [(node, one) for node in subgraph.nodes if (one := subgraph.operation(node)) is not None]
        for subgraph in culprit.subgraphs
    ]
    counts = [Counter(one.kind for _, one in nodes) for nodes in found]
    surplus = counts[side] - counts[1 - side]
    return [(node, one) for node, one in found[side] if one.kind in surplus]


def _operands(own: Operation, theirs: Operation) -> tuple[Array, ...] | None:
    """What the other operation reads in this one's place: the same; a tensor twice, as a square does, or once."""
    if len(own.data) == len(theirs.data):
        return own.data
    if len(own.data) == 1 and all(array is theirs.data[0] for array in theirs.data):
        return own.data * len(theirs.data)
    return own.data[:1] if len(theirs.data) == 1 and all(array is own.data[0] for array in own.data) else None


def _exchanged(culprit: Culprit, side: int, node: Node, partner: Node, there: Operation) -> Claim:
    wrong, right = (node.op, partner.op) if side else (partner.op, node.op)
    named = node if side else partner
    return Claim(
        f"{named.name} computes {wrong} where the reference computes {right}, from the same operands",
        f"compute {right} in {named.name}; where the model chooses between the two, a trace keeps one arm of the if",
        f"with {right} instead of {wrong}",
        culprit.replaced(culprit.subgraphs[side], node, there),
        node=named.name,
        written=True,
        only_proven=True,
    )


_KEEP_SHAPES = ELEMENTWISE | (SUMS_AXIS & KEEPS_AXES)
"""What may stand before another operation or after it."""


class OperationOrder(Cause):
    """Two operations in the other order: epsilon outside the root instead of inside, a scale behind a softmax."""

    id: ClassVar[str] = "operation-order"
    fix: ClassVar[str] = "apply the two in the reference's order"
    example: ClassVar[str] = "√x + ε for √(x + ε)"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every two operations in a row that keep shapes, exchanged: in one region, or one is the culprit's own."""
        if any(+_surplus(culprit, side) for side in (0, 1)):
            return
        for subgraph in culprit.subgraphs:
            for node in subgraph.nodes:
                for later in subgraph.nodes:
                    if _follows(later, node):
                        yield _in_the_other_order(culprit, subgraph, node, later)
        for node in culprit.candidate.nodes:
            for later in _crossed(culprit, context):
                if _follows(later, node):
                    yield _in_the_other_order(culprit, culprit.candidate, node, later)


def _follows(later: Node, node: Node) -> bool:
    return node.outputs[0] in later.inputs and {node.kind, later.kind} <= _KEEP_SHAPES


def _crossed(culprit: Culprit, context: Context) -> Iterator[Node]:
    """What the candidate does to the culprit's tensor, and the reference before it makes that tensor."""
    for measured in context.measured:
        maker = culprit.candidate.graph.producer(measured.pair.candidate)
        read = measured.pair.reference in culprit.reference.region.inputs
        if read and maker is not None and culprit.candidate.output in maker.inputs:
            yield maker


def _in_the_other_order(culprit: Culprit, subgraph: Subgraph, node: Node, later: Node) -> Claim:
    wrong, right = (later, node) if subgraph.side == 0 else (node, later)
    return Claim(
        f"{culprit.where} applies {wrong.op} before {right.op}, the reference {right.op} first",
        f"apply {right.op} before {wrong.op}",
        f"with {right.op} first",
        _reversed(culprit, subgraph, node, later),
        side=subgraph.side,
    )


def _reversed(culprit: Culprit, subgraph: Subgraph, node: Node, later: Node) -> Callable[[], Array | None]:
    def predict() -> Array | None:
        first, second = subgraph.operation(node), subgraph.operation(later)
        read = [name for name in node.inputs if name and subgraph.graph.varies(name)]
        start = subgraph.array(read[0]) if len(read) == 1 else None
        middle = subgraph.array(node.outputs[0])
        if first is None or second is None or start is None or middle is None:
            return None
        end = subgraph.output if node.outputs[0] == subgraph.output else later.outputs[0]
        try:
            return _put(culprit, subgraph, end, compute(_on(first, start, compute(_on(second, middle, start)))))()
        except Unsupported:
            return None

    return predict


def _on(operation: Operation, old: Array, new: Array) -> Operation:
    """The operation on another tensor in the place of one that it reads."""
    return operation.with_data(*(new if array is old else array for array in operation.data))


class _Lopsided(Cause):
    """What one side alone does is left out there, and the other side's tensor comes out."""

    side: ClassVar[int]
    shown: ClassVar[str] = "The operation is left out on the side that has it, and the other side's tensor comes out."

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Operations of a kind that stands more often on this side, alone and in a row; then all up to the end."""
        subgraph = culprit.subgraphs[self.side]
        surplus = _surplus(culprit, self.side)
        for node in subgraph.nodes:
            for left_out, before in _rows(subgraph, node, surplus):
                yield self._claim(culprit, left_out, before, written=True)
        for name, array in subgraph.values.items():
            later = _after(subgraph, name)
            alone = [node for node in later if node.kind in surplus]
            if self.side == 1 and _is_expected(culprit, context, name):  # the other side does nothing beyond it
                alone = [node for node in later if node.kind not in _LEFT]
            if alone and array.dtype.kind == "f" and array.size > 1:
                yield self._claim(culprit, later, name, written=False)

    def _claim(self, culprit: Culprit, nodes: list[Node], before: str, *, written: bool) -> Claim:
        subgraph, other = culprit.subgraphs[self.side], culprit.subgraphs[1 - self.side]
        told = [node for node in nodes if node.kind not in _LEFT] or nodes
        names = listing([f"{node.op} {node.name}" for node in told])
        twice = written and len(nodes) == 1 and bool(other.of_kind(nodes[0].kind))
        who, whom = ("reference", "candidate") if self.side == 0 else ("candidate", "reference")
        words = f"{told[0].op} once more than the {whom} ({names})" if twice else f"{names}, the {whom} does not"
        end = nodes[-1].outputs[0]
        return Claim(
            f"the {who} applies {words}",
            self.advice(names),
            "without it" if len(nodes) == 1 else "without them",
            _put(culprit, subgraph, end, subgraph.array(before)),
            side=self.side,
            becomes=(end, before) if self.side else None,
            node=told[0].name if self.side else None,
            written=written,
            structural=written,
            only_proven=True,
            needed=min(_ALL, 1 - culprit.floor) if written else _ALL,
            vague=not written,
        )

    def advice(self, names: str) -> str:
        """What to do about it."""
        raise NotImplementedError


class OperationExtra(_Lopsided):
    """The candidate does something that the reference does not: a limit, a rounding, an activation applied twice."""

    id: ClassVar[str] = "operation-extra"
    fix: ClassVar[str] = "remove the operation from the candidate, or add it to the reference"
    example: ClassVar[str] = "a sigmoid inside the model and another in the export wrapper"
    general: ClassVar[bool] = True
    unspecific: ClassVar[bool] = True
    side: ClassVar[int] = 1

    def advice(self, names: str) -> str:
        """Remove it."""
        return f"remove {names} from the candidate, or add it to the reference"


class OperationMissing(_Lopsided):
    """The reference does something that the candidate does not: an operation was lost on the way, or left out."""

    id: ClassVar[str] = "operation-missing"
    fix: ClassVar[str] = "add what the operation does to the candidate, or leave it out of the reference"
    example: ClassVar[str] = "a softmax or a normalisation lost in the export"
    general: ClassVar[bool] = True
    unspecific: ClassVar[bool] = True
    side: ClassVar[int] = 0

    def advice(self, names: str) -> str:
        """Add it."""
        return f"add what {names} does to the candidate, or leave it out of the reference"


class AddedBiasMissing(_Lopsided):
    """A bias that stands in a sum of its own, of which the candidate has nothing."""

    id: ClassVar[str] = "weights-bias-missing"
    side: ClassVar[int] = 0

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Sums with one stored vector that stand more often in the reference."""
        surplus = _surplus(culprit, self.side)
        for node in culprit.reference.of_kind("add"):
            stored = [one for name in node.inputs if name and (one := culprit.reference.stored(name)) is not None]
            if len(stored) == 1 and sum(length > 1 for length in stored[0].shape) == 1:
                for left_out, before in _rows(culprit.reference, node, surplus):
                    if left_out == [node]:
                        yield self._claim(culprit, left_out, before, written=True)

    def advice(self, names: str) -> str:
        """Carry it over."""
        return f"carry the bias over that {names} adds, once"


def _surplus(culprit: Culprit, side: int) -> Counter[str]:
    """Kinds that stand more often on a side, what fused nodes hold inside counted as well."""
    counts = [Counter({kind: n for kind, n in kinds.items() if kind not in _LEFT}) for kinds in culprit.kinds]
    return counts[side] - counts[1 - side]


def _rows(subgraph: Subgraph, node: Node, surplus: Counter[str]) -> Iterator[tuple[list[Node], str]]:
    """Operations of surplus kinds in a row that end in a node, and the value before each row.

    A gate, or whatever else joins two tensors of one shape, is left out for either of them; there a row ends.
    """
    row: list[Node] = []
    left = surplus.copy()
    while node.kind in left and left[node.kind] > 0 and len(row) < _LONGEST:
        flowing = [*dict.fromkeys(name for name in node.inputs if name and subgraph.graph.varies(name))]
        if len(flowing) != 1:
            yield from (([node, *row], name) for name in flowing if _of_one_shape(subgraph, name, node.outputs[0]))
            return
        left[node.kind] -= 1
        row.insert(0, node)
        yield list(row), flowing[0]
        maker = subgraph.graph.producer(flowing[0])
        if maker is None or maker.index not in subgraph.region.nodes:
            return
        node = maker


def _of_one_shape(subgraph: Subgraph, *names: str) -> bool:
    shapes = {None if array is None else array.shape for array in map(subgraph.array, names)}
    return len(shapes) == 1 and None not in shapes


def _is_expected(culprit: Culprit, context: Context, name: str) -> bool:
    """Whether a value of the candidate answers the very tensor that its region should leave with."""
    pair = context.pair_of(name)
    return pair is not None and pair.reference == culprit.measured.pair.reference


def _after(subgraph: Subgraph, name: str) -> list[Node]:
    """The nodes between a value that the region reads or makes and its output, that output's maker last."""
    maker = subgraph.graph.producer(name)
    made = maker is not None and maker.index in subgraph.region.nodes
    if name == subgraph.output or not (made or name in subgraph.region.inputs):
        return []
    reached, found = {name}, []
    for node in subgraph.nodes:
        if reached & set(node.inputs):
            reached |= set(node.outputs)
            found.append(node)
    return found if subgraph.output in reached and found[-1].outputs[:1] == (subgraph.output,) else []


def _put(culprit: Culprit, subgraph: Subgraph, name: str, array: Array | None) -> Callable[[], Array | None]:
    """What becomes of the output when a value holds what stood before it."""

    def predict() -> Array | None:
        if array is None:
            return None
        if name != subgraph.output:
            return culprit.swapped(subgraph, name, array)()
        axes = culprit.measured.pair.axes if subgraph.side else None
        target = culprit.target(subgraph.side)
        return None if target is None else in_order(array, axes, target.shape)

    return predict
