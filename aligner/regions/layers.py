"""The parametrised layers of a region, batch normalisations folded in where only one side has folded them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aligner.operations.kinds import LAYERS
from aligner.operations.operation import Operation
from aligner.operations.settings import Recurrent
from aligner.records.dataclass import dataclass
from aligner.regions.culprit import Culprit
from aligner.regions.folding import Layer as Layer
from aligner.regions.folding import folded as folded
from aligner.regions.reached_outputs import narrowed
from aligner.regions.subgraph import Subgraph

_UNTOUCHED = {"scale": 1, "shift": 0}
"""What a normalisation without that parameter scales and shifts by."""


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


def layers(subgraph: Subgraph, *, bare: bool = False) -> list[Layer]:
    """What the region holds, in order; ``bare``: with normalisations that have no parameters."""
    found = []
    for node in subgraph.of_kind(*LAYERS):
        operation = subgraph.operation(node)
        if operation is not None and (operation.parameters or (bare and operation.kind == "norm")):
            operation = with_sorted_gates(operation) if operation.kind == "recurrent" else operation
            found.append(Layer(node, operation, dict(operation.parameters)))
    return found


def with_sorted_gates(operation: Operation) -> Operation:
    """The same cell with the rows of its weights in alphabetical order of their gates."""
    gates = operation.read(Recurrent).gates
    order = [gates.index(gate) for gate in sorted(gates)]
    moved = {}
    for name in ("w", "r", "b", "rb"):
        if name in operation.parameters:
            parts = np.split(operation.parameters[name], len(gates), axis=1)
            moved[name] = np.concatenate([parts[k] for k in order], axis=1)
    return operation.with_parameters(**moved).with_settings(gates="".join(sorted(gates)))


def layer_pairs(culprit: Culprit) -> list[LayerPair]:
    """Layers that answer each other; empty where the two regions cannot be brought into the same form."""
    found = _paired(culprit, *map(layers, culprit.subgraphs))
    return found or _paired(culprit, *(layers(subgraph, bare=True) for subgraph in culprit.subgraphs))


def _paired(culprit: Culprit, left: list[Layer], right: list[Layer]) -> list[LayerPair]:
    whole = (folded(culprit.reference, left), folded(culprit.candidate, right))
    if _forms(left) != _forms(right) or (_foldings(whole[0]) != _foldings(whole[1]) and len(whole[0]) == len(whole[1])):
        left, right = whole
    if len(left) != len(right):
        return []
    pairs = []
    for one, other in (narrowed(culprit, *pair) or pair for pair in zip(left, right, strict=True)):
        fitted = _fitted(one, other)
        if fitted is not None:
            pairs.append(LayerPair(_completed(fitted, other), _completed(other, fitted)))
    return pairs


def _completed(layer: Layer, other: Layer) -> Layer:
    """A normalisation with the ones and zeros that it stands for where only the other has a scale or a shift."""
    if not layer.operation.kind == other.operation.kind == "norm":
        return layer
    missing = {role: other.parameters[role] for role in _UNTOUCHED if role in other.parameters}
    made = {role: np.full_like(array, _UNTOUCHED[role]) for role, array in missing.items()}
    return replace(layer, parameters=made | layer.parameters)


def _forms(found: list[Layer]) -> list[tuple[str, bool]]:
    return [(one.operation.kind, "bias" in one.parameters) for one in found]


def _foldings(found: list[Layer]) -> list[tuple[bool, bool]]:
    return [(one.scale is not None, one.added is not None) for one in found]


def _filled(reference: Layer, candidate: Layer) -> Layer:
    """The reference's with as many channels as the candidate's where one of them is filled up to whole blocks."""
    kernel = candidate.parameters.get("kernel")
    if kernel is None or not any(layer.node.attributes.get("blocked") for layer in (reference, candidate)):
        return reference
    fitted = {}
    for name, array in reference.parameters.items():
        made = np.zeros(kernel.shape[: array.ndim], array.dtype)
        if made.ndim != array.ndim:
            return reference
        both = tuple(map(slice, np.minimum(made.shape, array.shape)))
        made[both] = array[both]
        if np.count_nonzero(made) != np.count_nonzero(array):
            return reference  # more than what fills up would be cut off
        fitted[name] = made
    return replace(reference, parameters=fitted)


def _fitted(reference: Layer, candidate: Layer) -> Layer | None:
    """The reference's parameters in the candidate's shapes: a linear layer may have become a 1×1 convolution."""
    if reference.operation.kind == candidate.operation.kind:
        return _filled(reference, candidate)
    kernels = reference.parameters.get("kernel"), candidate.parameters.get("kernel")
    if kernels[0] is None or kernels[1] is None or kernels[0].size != kernels[1].size:
        return None
    if [d for d in kernels[0].shape if d != 1] != [d for d in kernels[1].shape if d != 1]:
        return None
    return replace(reference, parameters=reference.parameters | {"kernel": kernels[0].reshape(kernels[1].shape)})
