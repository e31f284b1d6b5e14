"""A linear layer with the normalisation behind it, as a converter that folds the two would store it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aligner.alignment.skeleton import Skeleton
from aligner.operations.kinds import AFFINE, INVERSES, LINEAR, SCALES
from aligner.operations.operation import Operation
from aligner.operations.settings import BatchNorm
from aligner.parameters.canonical import canonical, stored_axis
from aligner.parameters.folding import as_affine, output_axis, scaled
from aligner.parameters.known import Known
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node


@dataclass(frozen=True, slots=True, eq=False)
class LinearLayer:
    """A linear node, its kernel, and the axis of the kernel along which outputs lie."""

    node: Node
    kernel: Array
    axis: int

    def times(self, scale: Array) -> Array:
        """The kernel with each output multiplied."""
        return scaled(self.kernel.astype("float64"), scale, self.axis)

    def axis_of(self, stored: Array) -> int | None:
        """Along which axis of the kernel, as it is stored, the outputs lie."""
        return stored_axis(stored, self.kernel, self.axis)


def linear_before(skeleton: Skeleton, node: Node, outputs: int) -> LinearLayer | None:
    """The layer with so many outputs that a node reads, before or behind its bias, if it is a linear one."""
    before = _maker(skeleton, node)
    if before is not None and before.kind == "add":
        before = _maker(skeleton, before)
    return linear_at(skeleton, before, outputs) if before is not None and before.kind in LINEAR else None


def linear_at(skeleton: Skeleton, node: Node, outputs: int) -> LinearLayer | None:
    """The layer that a linear node is, if it has so many outputs."""
    operation = canonical(skeleton.graph, node, skeleton.shape)
    kernel = operation.parameters.get("kernel") if operation is not None else None
    if operation is None or kernel is None:
        return _as_stored(skeleton, node, outputs)
    axis = output_axis(operation, kernel)
    return LinearLayer(node, kernel, axis) if axis is not None and kernel.shape[axis] == outputs else None


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


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A node that multiplies what it reads by a number for each channel (or one for all), then adds such numbers."""

    node: Node
    scale: Array
    shift: Array

    @property
    def scales(self) -> bool:
        """Whether it multiplies at all."""
        return self.node.kind == "norm" or self.node.kind in SCALES

    @property
    def sizes(self) -> tuple[int, int]:
        """Numbers in the factor and in the summand."""
        return self.scale.size, self.shift.size


def composed(steps: Iterable[Step], outputs: int) -> tuple[Array, Array]:
    """The factor and the summand, one for each output, that steps amount to."""
    scale, shift = np.ones(outputs), np.zeros(outputs)
    for step in steps:
        scale, shift = scale * step.scale, shift * step.scale + step.shift
    return scale, shift


def steps_behind(skeleton: Skeleton, node: Node) -> tuple[Node, list[Step]] | None:
    """The linear node that a chain of such nodes starts from, and the chain up to ``node``; None where none does."""
    steps: list[Step] = []
    current: Node | None = node
    while current is not None and current.kind not in LINEAR:
        step = _step(skeleton, current)
        if step is None:
            return None
        steps.append(step)
        current = _maker(skeleton, current)
        if current is not None and str(current.attributes.get("fused_activation") or "none").lower() != "none":
            return None
    return (current, steps[::-1]) if current is not None and steps else None


def _step(skeleton: Skeleton, node: Node) -> Step | None:
    if node.kind == "norm":
        affine = norm_affine(skeleton, node)
        return Step(node, *affine) if affine is not None else None
    if node.kind not in AFFINE or len(node.inputs) > 2 or node.attributes.get("alpha", 1) != 1:
        return None
    vector = _operand(skeleton, node)
    if vector is None or not np.isfinite(vector).all():
        return None
    if node.kind in SCALES:
        return Step(node, vector if node.kind == "mul" else 1 / vector, np.zeros(1)) if vector.all() else None
    return Step(node, np.ones(1), vector if node.kind == "add" else -vector)


def _operand(skeleton: Skeleton, node: Node) -> Array | None:
    """The constant that a node multiplies by or adds, computed from stored vectors if need be, as one vector."""
    given = [name for name in node.inputs if name in skeleton.constants]
    other = node.attributes.get("other")
    if not given and isinstance(other, (int, float)):
        return np.full(1, float(other))
    if len(given) != 1 or (node.kind in INVERSES and node.inputs[0] == given[0]):
        return None
    stored = [skeleton.graph.weights.get(root) for root in skeleton.constants[given[0]]]
    if any(weight is not None and _spread(weight.shape) for weight in stored):
        return None  # and it is not read
    found = Known(skeleton.graph, skeleton.shape).array(given[0])
    return None if found is None or _spread(found.shape) else found.astype(np.float64).reshape(-1)


def _spread(shape: tuple[int, ...]) -> bool:
    """Whether numbers lie along more than one axis."""
    return sum(dim != 1 for dim in shape) > 1


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
