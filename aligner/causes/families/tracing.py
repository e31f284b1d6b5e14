"""What tracing freezes or drops: constants, branches, shapes, writes through views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from aligner.adapters.wording import Topic
from aligner.causes.cause import Cause, Claim, held
from aligner.causes.constant_operands import constant_sources, constants_of, operand_name
from aligner.causes.context import Context
from aligner.causes.weight_cause import WeightCause
from aligner.causes.weight_elsewhere import left_unread
from aligner.operations.kinds import ACTIVATIONS, BINARY, ELEMENTWISE, MOVED, PICKED, SILENT
from aligner.operations.operation import Operation
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit, in_order
from aligner.regions.layers import LayerPair
from aligner.regions.subgraph import Change

_ARITHMETIC = ELEMENTWISE - ACTIVATIONS | {"clip"}


_KEPT_ARM = "export the choice itself: a trace keeps one arm of every if"


class TraceBakedConstant(Cause):
    """What the reference computes from its input stands as a number in the candidate: frozen when it was traced."""

    id: ClassVar[str] = "trace-baked-constant"
    fix: ClassVar[str] = "keep the value in the graph: no .item(), float(), int() or numpy while tracing"
    example: ClassVar[str] = "x / float(x.max())"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The candidate's constant where the reference computes: an operand, or all that comes before."""
        yield from self._cut_off(culprit)
        for node in culprit.reference.of_kind(*BINARY, "where", "matmul", "resize"):
            operation, partner = culprit.reference.operation(node), culprit.partner(culprit.reference, node)
            if operation is None or partner is None or len(operation.data) < 2:
                continue
            own = constants_of(culprit.reference, node, operation)
            if own and len(own) >= len(constants_of(culprit.candidate, *partner)):
                continue  # the candidate's constant answers the reference's
            for place, operand in enumerate(operation.data):
                name = operand_name(culprit.reference, node, operation, place)
                if name is None or constant_sources(culprit.reference, name) is not None:
                    continue
                frozen = _frozen(culprit, *partner, place, operand.size)
                if frozen is None or (operand.size > 1 and frozen.size != operand.size):
                    continue
                data = list(operation.data)
                data[place] = frozen if frozen.size == 1 else frozen.reshape(operand.shape)
                seen = f"{float(frozen.reshape(-1)[0]):.6g}" if frozen.size == 1 else f"a tensor of {frozen.size}"
                yield Claim(
                    f"{partner[0].name} reads a constant, {seen}, where the reference computes {name} from its input",
                    "keep the value in the graph: no .item(), float(), int() or numpy on tensors while tracing",
                    "with the computed value instead of the constant",
                    culprit.replaced(culprit.reference, node, operation.with_data(*data)),
                    written=True,
                    only_proven=True,
                    node=partner[0].name,
                )

    def _cut_off(self, culprit: Culprit) -> Iterator[Claim]:
        """A constant of the candidate that is as large as something the reference reads or computes here."""
        for weight in culprit.candidate.region.weights:
            baked = culprit.candidate.weight(weight)
            if baked is None or baked.size < 2 or baked.dtype.kind != "f":
                continue
            names = [*culprit.reference.region.inputs, *(v for n in culprit.reference.nodes for v in n.outputs)]
            for name in dict.fromkeys(names):
                array = culprit.reference.array(name)
                if array is None or array.size != baked.size or name == culprit.reference.output:
                    continue
                if constant_sources(culprit.reference, name) is not None:
                    continue  # a table that differs is no computation that was lost
                moved = in_order(baked, None, array.shape)
                if moved is not None:
                    yield Claim(
                        f"{culprit.where} reads the constant {weight} where the reference computes {name} from its "
                        "input",
                        "keep the computation in the graph: nothing of it may go through numpy or .item() when traced",
                        "with the computed tensor instead of the constant",
                        culprit.swapped(culprit.reference, name, moved),
                        written=True,
                        only_proven=True,
                    )


def _frozen(culprit: Culprit, node: Node, operation: Operation, place: int, size: int) -> Array | None:
    names = [name for name in node.inputs if name]
    if operation.kind == "where":
        name = operand_name(culprit.candidate, node, operation, place) if place < len(operation.data) else ""
        return operation.data[place] if name is None or culprit.candidate.constant(name) else None
    if len(names) < 2 and len(operation.data) == 2:
        return operation.data[1]
    for name in names:
        if culprit.candidate.constant(name):
            array = culprit.candidate.array(name)
            if array is not None and array.size in {1, size}:
                return array
    return None


class InplaceWriteLost(Cause):
    """A write through a view never happened: part of the tensor still holds what it held before."""

    id: ClassVar[str] = "inplace-write-lost"
    fix: ClassVar[str] = "make a new tensor instead of assigning through a view"
    topic: ClassVar[Topic | None] = "written-anew"
    example: ClassVar[str] = "y[:, ::2] *= 0.5 lost when traced"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The candidate's output equals what the reference wrote to, before it did."""
        if culprit.expected is None or culprit.found is None:
            return
        if not culprit.reference.of_kind("scatter", "identity", "slice"):
            return
        writes = [n for n in culprit.reference.nodes if n.kind == "scatter" or n.overwrites]
        if _writes(culprit, 1) >= _writes(culprit, 0):
            return
        for node in writes:
            after = culprit.reference.array(node.outputs[0]) if node.outputs else None
            for name in node.inputs:
                before = culprit.reference.array(name) if name else None
                if before is None or after is None or before.shape != after.shape or before.dtype.kind != "f":
                    continue
                changed = float((before != after).mean())
                yield Claim(
                    f"{culprit.where} computes with what {node.name} overwrites in the reference "
                    f"({changed:.0%} of the elements)",
                    self.fix,
                    "with the write in place",
                    self._unwritten(culprit, node, before),
                )

    def _unwritten(self, culprit: Culprit, node: Node, before: Array) -> Any:
        if node.outputs[0] == culprit.reference.output:
            return held(before)
        later = [n for n in culprit.reference.of_kind("scatter", "identity") if n.index > node.index]
        names = [name for other in later for name in other.outputs]
        same = {node.outputs[0]: before}
        for name in names:
            array = culprit.reference.array(name)
            if array is not None and array.shape == before.shape:
                same[name] = before
        return lambda: culprit.predict(0, Change(arrays=same))


def _writes(culprit: Culprit, side: int) -> int:
    """How many nodes of a whole side write into part of a tensor, directly or through a view."""
    nodes = culprit.graphs[side].nodes
    views = {value for node in nodes if node.kind in MOVED | PICKED for value in node.outputs}
    return sum(
        1 for node in nodes if node.kind == "scatter" or (node.overwrites and node.inputs and node.inputs[0] in views)
    )


class TraceBakedBranch(Cause):
    """The candidate took the other arm of an if when it was traced, and takes it ever since."""

    id: ClassVar[str] = "trace-baked-branch"
    fix: ClassVar[str] = "export the choice itself: a trace keeps one arm of every if"
    topic: ClassVar[Topic | None] = "exported-choice"
    example: ClassVar[str] = "if x.sum() > 0: in forward"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The same place in the model, from the same input, by other operations that both do what they say."""
        if not culprit.reference.graph.of_one_run:
            return
        kinds = [{n.kind for n in subgraph.nodes if n.kind not in SILENT} for subgraph in culprit.subgraphs]
        if not kinds[0] or not kinds[1] or kinds[0] & kinds[1] or not (kinds[0] | kinds[1]) <= _ARITHMETIC:
            return
        ran = [
            ", ".join(node.op for node in subgraph.nodes if node.kind != "constant") for subgraph in culprit.subgraphs
        ]
        yield Claim(
            f"{culprit.where} runs {ran[1]} where the reference, on this input, runs {ran[0]}: the arm of a branch "
            "that another input took",
            _KEPT_ARM,
        )


class WeightsOfAnotherArm(WeightCause):
    """The candidate computes with weights that the reference holds and, on this input, never reads."""

    id: ClassVar[str] = "trace-baked-branch"
    advice: ClassVar[str] = _KEPT_ARM
    topic: ClassVar[Topic | None] = "exported-choice"

    def describe(self, pair: LayerPair, role: str, culprit: Culprit, context: Context) -> str | None:
        """The very numbers of a weight that nothing reads."""
        other = left_unread(pair, role, culprit)
        return (
            f"the {role} is the reference's {other}, which the reference does not read on this input: the arm of a "
            "branch that another input took"
            if other
            else None
        )


class TraceBakedShape(Cause):
    """A size of the trace input stands in the graph as a number."""

    id: ClassVar[str] = "trace-baked-shape"
    fix: ClassVar[str] = "export with dynamic axes, and take sizes from x.shape"
    example: ClassVar[str] = "a positional table cut to the traced length"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Shapes that do not fit, where the candidate reshapes, slices or expands to constant sizes."""
        shapes = culprit.measured.reference_shape, culprit.measured.candidate_shape
        if None in shapes or shapes[0] == shapes[1] or culprit.found is not None:
            return
        node = next(iter(culprit.candidate.of_kind("reshape", "expand", "slice", "resize", "tile", "gather")), None)
        sizes = (
            next((node.attributes[n] for n in ("shape", "sizes", "ends", "repeats") if n in node.attributes), None)
            if node
            else None
        )
        if node is not None and sizes is not None:
            yield Claim(
                f"{node.name} ({node.op}) has the sizes {sizes} written into it; the reference has {shapes[0]}, "
                f"the candidate's {shapes[1]}",
                "export with dynamic axes, and take sizes from x.shape inside the model",
                node=node.name,
            )
