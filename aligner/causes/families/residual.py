"""Sums of which a part never arrives: residual connections that are missing, doubled or frozen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.causes.families.connections import read_of_another
from aligner.causes.families.elementwise import is_constant
from aligner.operations.kinds import ACTIVATIONS, COPIES, DRAWS, SHIFTS
from aligner.records.axis_order import to_candidate
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph

_FUSED = ACTIVATIONS | COPIES | {"minmax"}
"""What a runtime may fuse into a sum."""
_FUSED_AT_MOST = 2
"""Nodes that a runtime may have fused behind the sum: a bias, an activation."""


class ResidualMissing(Cause):
    """A sum of which one part never arrives, or arrives twice, or is another tensor of the model."""

    id: ClassVar[str] = "residual-missing"
    fix: ClassVar[str] = "connect the skip connection to the sum"
    example: ClassVar[str] = "an addition lost in a rewrite"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Each part of a sum alone, or in the other's place."""
        for subgraph, node, operation in culprit.nodes("add", "sub"):
            if len(operation.data) != 2 or not _both_flow(subgraph, node):
                continue
            left, right = operation.data
            zeros = 0 * right, 0 * left
            options = [
                ("leaves out its second operand", (left, zeros[0])),
                ("leaves out its first operand", (zeros[1], right)),
                ("adds its first operand twice", (left, left)),
                ("adds its second operand twice", (right, right)),
            ]
            for words, data in options:
                if data[0].shape == data[1].shape:
                    yield Claim(
                        f"{'the candidate' if subgraph.side == 0 else 'the reference'} {words} at {culprit.where}",
                        _advice(culprit, subgraph, node),
                        "with both operands",
                        culprit.replaced(subgraph, node, operation.with_data(*data)),
                    )
        yield from self._constant_instead(culprit)
        yield from self._gone(culprit)
        yield from (claim for kind, claim in read_of_another(culprit, context) if kind in SHIFTS)

    def _gone(self, culprit: Culprit) -> Iterator[Claim]:
        """A sum that is gone with the activation fused into it: one of its operands takes its place."""
        subgraph = culprit.reference
        for node in subgraph.of_kind("add"):
            end = _end_of_sum(subgraph, node)
            operands = node.inputs[:2]
            if end == node.outputs[0] or len(operands) != 2 or not _both_flow(subgraph, node):
                continue
            for name, other in (operands, operands[::-1]):
                array, sum_ = subgraph.array(name), subgraph.array(end)
                if array is None or sum_ is None or array.shape != sum_.shape:
                    continue
                yield Claim(
                    f"the candidate has no sum before {culprit.where}: {name} stands in its place, and {other} never "
                    "arrives",
                    "connect the skip connection, with the activation after the sum",
                    "with that operand in the place of the sum",
                    culprit.swapped(subgraph, end, array),
                )

    def _constant_instead(self, culprit: Culprit) -> Iterator[Claim]:
        """A sum of two tensors that answers one of a tensor and a stored vector: what is left of it is a bias."""
        for node in culprit.candidate.of_kind("add"):
            operation, partner = culprit.candidate.operation(node), culprit.partner(culprit.candidate, node)
            if operation is None or partner is None or len(operation.data) != 2 or len(partner[1].data) != 2:
                continue
            stored = [place for place in (0, 1) if is_constant(culprit.candidate, node, place, operation)]
            if len(stored) != 1 or not _both_flow(culprit.reference, partner[0]):
                continue
            for subgraph in partner[1].data:
                moved = to_candidate(subgraph, culprit.measured.pair.axes, operation.data[1 - stored[0]].shape)
                if moved is None:
                    continue
                data = list(operation.data)
                data[stored[0]] = moved
                yield Claim(
                    f"the candidate adds a stored vector at {node.name} where the reference adds a tensor: a part of "
                    "the sum never arrives",
                    "connect the skip connection to this sum",
                    "with the reference's operand in the vector's place",
                    culprit.replaced(culprit.candidate, node, operation.with_data(*data)),
                )


def _advice(culprit: Culprit, subgraph: Subgraph, node: Node) -> str:
    """What helps, where the candidate has a sum, and where the whole of the reference's is gone."""
    if subgraph is culprit.candidate or culprit.candidate.of_kind("add", "sub"):
        return "connect the skip connection to this sum"
    return f"put the sum back: the reference adds {' and '.join(node.inputs[:2])} there"


def _end_of_sum(subgraph: Subgraph, node: Node) -> str:
    """What activations that a runtime fuses make of a sum, as far as they alone read it."""
    value = node.outputs[0]
    for _ in range(_FUSED_AT_MOST):
        readers = [other for other in subgraph.nodes if value in other.inputs]
        if len(readers) != 1 or readers[0].kind not in _FUSED or value == subgraph.output:
            break
        value = readers[0].outputs[0]
    return value


def _both_flow(subgraph: Subgraph, node: Node) -> bool:
    """Whether two tensors of the model meet; noise that is drawn beside it is none."""
    noise = subgraph.graph.descendants(name for drawn in subgraph.of_kind(*DRAWS) for name in drawn.outputs)
    return sum(bool(name) and name not in noise and subgraph.varies(name) for name in node.inputs) > 1
