"""A linear layer with the normalisation behind it, as a converter that folds the two would store it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import LINEAR
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchNorm
from aligner.parameters.canonical import canonical, stored_axis
from aligner.parameters.folding import as_affine, output_axis, scaled
from aligner.records.array import Array

if TYPE_CHECKING:
    from aligner.records.graph import Node


@dataclass(frozen=True, slots=True, eq=False)
class LinearLayer:
    """A linear node, its kernel, and the axis of the kernel along which outputs lie.

    ``adder``: the node that adds its bias, where that is one of its own.
    """

    node: Node
    kernel: Array
    axis: int
    adder: Node | None = None

    def times(self, scale: Array) -> Array:
        """The kernel with each output multiplied."""
        return scaled(self.kernel.astype("float64"), scale, self.axis)

    def axis_of(self, stored: Array) -> int | None:
        """Along which axis of the kernel, as it is stored, the outputs lie."""
        return stored_axis(stored, self.kernel, self.axis)


def linear_before(skeleton: Skeleton, node: Node, outputs: int) -> LinearLayer | None:
    """The layer with so many outputs that a node reads, before or behind its bias, if it is a linear one."""
    before, adder = _maker(skeleton, node), None
    if before is not None and before.kind == "add":
        before, adder = _maker(skeleton, before), before
    if before is None or before.kind not in LINEAR:
        return None
    operation = canonical(skeleton.graph, before, skeleton.shape)
    kernel = operation.parameters.get("kernel") if operation is not None else None
    if operation is None or kernel is None:
        stored = _as_stored(skeleton, before, outputs)
        return stored and replace(stored, adder=adder)
    axis = output_axis(operation, kernel)
    return LinearLayer(before, kernel, axis, adder) if axis is not None and kernel.shape[axis] == outputs else None


def _maker(skeleton: Skeleton, node: Node) -> Node | None:
    """What computes the only tensor that a node reads."""
    data = skeleton.data_inputs(node)
    return skeleton.producer.get(skeleton.root(data[0])) if len(data) == 1 else None


def _as_stored(skeleton: Skeleton, node: Node, outputs: int) -> LinearLayer | None:
    """A layer whose form is not known: outputs lie along the first axis of its kernel that has as many."""
    weights = [skeleton.graph.weights.get(name) for name in skeleton.weight_roots(node)]
    stored = next((weight for weight in weights if weight is not None and len(weight.shape) > 1), None)
    if stored is None or outputs not in stored.shape:
        return None
    second = node.kind == "conv_transpose" and stored.shape[1] == outputs
    return LinearLayer(node, stored.values(), 1 if second else stored.shape.index(outputs))


def norm_affine(skeleton: Skeleton, node: Node) -> tuple[Array, Array] | None:
    """Factor and summand of a normalisation by stored statistics, one for each channel."""
    operation = normalisation(skeleton, node)
    return as_affine(operation) if operation is not None else None


def normalisation(skeleton: Skeleton, node: Node) -> Operation | None:
    """A normalisation with its parameters by name.

    One whose form is not known has them where it reads four vectors of one size: scale, shift, mean and variance, in
    the order in which all frameworks store them.
    """
    if node.kind != "norm":
        return None
    if node.index not in skeleton.norms:
        skeleton.norms[node.index] = _normalisation(skeleton, node)
    return skeleton.norms[node.index]


def _normalisation(skeleton: Skeleton, node: Node) -> Operation | None:
    operation = canonical(skeleton.graph, node, skeleton.shape)
    if operation is not None:
        return operation
    stored = [skeleton.graph.weights.get(name) for name in skeleton.weight_roots(node)]
    vectors = [weight.values() for weight in stored if weight is not None and len(weight.shape) == 1]
    if len(vectors) != len(stored) or len(vectors) != len(_VECTORS) or len({vector.size for vector in vectors}) != 1:
        return None
    epsilon = node.attributes.get("epsilon")
    settings = BatchNorm(epsilon=float(epsilon) if isinstance(epsilon, (int, float)) else 1e-5, axis=0)
    return Operation("norm", settings, (), dict(zip(_VECTORS, vectors, strict=True)))


_VECTORS = ("scale", "shift", "mean", "variance")
