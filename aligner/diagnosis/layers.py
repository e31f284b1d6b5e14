"""The parametrised layers of a region, batch normalisations folded in where only one side has folded them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aligner.diagnosis.replay.operation import Operation
from aligner.diagnosis.scene import Part, Scene
from aligner.records.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_LAYERS = ("conv", "conv_transpose", "matmul", "norm", "recurrent", "embedding", "gather", "prelu")
_FOLDABLE = frozenset({"conv", "conv_transpose", "matmul"})


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A node with its parameters in the common layout; ``raw`` is its kernel before a normalisation was folded in."""

    node: Node
    operation: Operation
    parameters: dict[str, Array]
    raw: Array | None = None
    scale: Array | None = None
    added: Array | None = None
    """The part of the bias that a node of its own adds after this one."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerPair:
    """A layer of the reference and the candidate's that answers it."""

    reference: Layer
    candidate: Layer

    @property
    def roles(self) -> tuple[str, ...]:
        """Parameters that both have and that are of one size, kernels first."""
        mine, theirs = self.reference.parameters, self.candidate.parameters
        return tuple(name for name in mine if name in theirs and mine[name].size == theirs[name].size)


def layers(part: Part) -> list[Layer]:
    """What the region holds, in order."""
    found = []
    for node in part.of_kind(*_LAYERS):
        operation = part.operation(node)
        if operation is not None and operation.parameters:
            operation = with_sorted_gates(operation) if operation.kind == "recurrent" else operation
            found.append(Layer(node, operation, dict(operation.parameters)))
    return found


def with_sorted_gates(operation: Operation) -> Operation:
    """The same cell with the rows of its weights in alphabetical order of their gates."""
    import numpy as np

    gates = operation.settings["gates"]
    order = [gates.index(gate) for gate in sorted(gates)]
    moved = {}
    for name in ("w", "r", "b", "rb"):
        if name in operation.parameters:
            parts = np.split(operation.parameters[name], len(gates), axis=1)
            moved[name] = np.concatenate([parts[k] for k in order], axis=1)
    return operation.with_parameters(**moved).with_settings(gates="".join(sorted(gates)))


def layer_pairs(scene: Scene) -> list[LayerPair]:
    """Layers that answer each other; empty where the two regions cannot be brought into the same form."""
    left, right = layers(scene.reference), layers(scene.candidate)
    forms = [[(one.operation.kind, "bias" in one.parameters) for one in side] for side in (left, right)]
    if forms[0] != forms[1]:
        left, right = folded(scene.reference, left), folded(scene.candidate, right)
    if len(left) != len(right):
        return []
    pairs = []
    for one, other in zip(left, right, strict=True):
        fitted = _fitted(one, other)
        if fitted is not None:
            pairs.append(LayerPair(fitted, other))
    return pairs


def _fitted(reference: Layer, candidate: Layer) -> Layer | None:
    """The reference's parameters in the candidate's shapes: a linear layer may have become a 1×1 convolution."""
    if reference.operation.kind == candidate.operation.kind:
        return reference
    kernels = reference.parameters.get("kernel"), candidate.parameters.get("kernel")
    if kernels[0] is None or kernels[1] is None or kernels[0].size != kernels[1].size:
        return None
    if [d for d in kernels[0].shape if d != 1] != [d for d in kernels[1].shape if d != 1]:
        return None
    return replace(reference, parameters=reference.parameters | {"kernel": kernels[0].reshape(kernels[1].shape)})


def folded(part: Part, found: list[Layer]) -> list[Layer]:
    """The same layers with each batch normalisation, and each constant added, folded into the layer before it."""
    result: list[Layer] = []
    by_node = {layer.node.index: layer for layer in found}
    for node in part.nodes:
        layer = by_node.get(node.index)
        if layer is not None and layer.operation.kind == "norm" and _foldable(result, layer, node):
            result[-1] = _fold(result[-1], layer)
        elif layer is not None:
            result.append(layer)
        elif node.kind == "add" and result and result[-1].operation.kind in _FOLDABLE:
            result[-1] = _with_added(part, node, result[-1])
    return result


def _foldable(result: list[Layer], norm: Layer, node: Node) -> bool:
    return (
        bool(result)
        and result[-1].operation.kind in _FOLDABLE
        and norm.operation.settings["form"] == "batch"
        and "mean" in norm.parameters
        and bool(set(result[-1].node.outputs) & set(node.inputs))
    )


def output_axis(operation: Operation, kernel: Array) -> int | None:
    """The axis of a kernel along which outputs lie; None for grouped transposed convolutions."""
    if operation.kind == "conv_transpose":
        return 1 if operation.settings["groups"] == 1 and kernel.ndim > 1 else None
    return 0


def scaled(kernel: Array, scale: Array, axis: int) -> Array:
    """A kernel times a vector along one axis."""
    across = [1] * kernel.ndim
    across[axis] = scale.size
    return kernel * scale.reshape(across)


def _fold(layer: Layer, norm: Layer) -> Layer:
    import numpy as np

    p = {name: array.astype(np.float64) for name, array in norm.parameters.items()}
    scale = p.get("scale", 1.0) / np.sqrt(p["variance"] + norm.operation.settings["epsilon"])
    kernel = layer.parameters["kernel"].astype(np.float64)
    axis = output_axis(layer.operation, kernel)
    if axis is None or kernel.shape[axis] != np.size(scale):
        return layer
    bias = layer.parameters.get("bias", 0.0)
    shift = (bias - p["mean"]) * scale + p.get("shift", 0.0)
    return Layer(
        layer.node, layer.operation, {"kernel": scaled(kernel, scale, axis), "bias": shift}, raw=kernel, scale=scale
    )


def _with_added(part: Part, node: Node, layer: Layer) -> Layer:
    kernel = layer.parameters["kernel"]
    axis = output_axis(layer.operation, kernel)
    if axis is None or not set(layer.node.outputs) & set(node.inputs):
        return layer
    for name in node.inputs:
        array = part.weight(name) if name else None
        if array is not None and array.size == kernel.shape[axis]:
            bias = layer.parameters.get("bias", 0.0) + array.reshape(-1)
            return replace(layer, parameters=layer.parameters | {"bias": bias}, added=array.reshape(-1))
    return layer
