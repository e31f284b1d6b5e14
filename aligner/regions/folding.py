"""Normalisations, factors and summands for each channel that follow a linear layer, folded into its parameters."""

from __future__ import annotations

from dataclasses import field, replace

import numpy as np

from aligner.operations.kinds import AFFINE, COPIES, INVERSES, LINEAR, MOVED, SCALES, SHIFTS
from aligner.operations.operation import Operation
from aligner.operations.settings import Windowed
from aligner.parameters.folding import as_affine, output_axis, scaled
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node
from aligner.regions.subgraph import Subgraph

MOVES_AXES = MOVED | {"slice"}
"""What ``moved_axis`` follows an axis through."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A node with its parameters in the common layout, and what was folded into them.

    ``scale`` and ``added`` are what the nodes in ``taken`` multiply each output of the node by and then add;
    ``raw`` is the kernel without. ``places``, where only some of the node's outputs count, says which; then ``whole``
    holds the parameters for all of them, and ``parameters`` those for these.
    """

    node: Node
    operation: Operation
    parameters: dict[str, Array]
    raw: Array | None = None
    scale: Array | None = None
    added: Array | None = None
    taken: tuple[int, ...] = ()
    places: Array | None = None
    whole: dict[str, Array] = field(default_factory=dict)

    @property
    def cut(self) -> str:
        """ "outputs 64 to 127", "" where all of them count."""
        role = "kernel" if "kernel" in self.parameters else "w"
        if self.places is None or self.whole[role].size == self.parameters[role].size:
            return ""
        if role == "w":
            return f"direction {self.places[0]}"
        return f"outputs {self.places.min()} to {self.places.max()}"

    def bare(self, parameters: dict[str, Array]) -> dict[str, Array]:
        """What the node itself has to hold, for these parameters to be what it and all that is folded in amount to."""
        if self.places is not None:
            return replace(self, parameters=self.whole, places=None).bare(self._filled(parameters, self.places))
        found = dict(parameters)
        if "bias" in found and self.added is not None:
            found["bias"] = found["bias"] - self.added
        if self.scale is None:
            return found
        scale = np.where(self.scale == 0, 1.0, self.scale)
        if "bias" in found:
            found["bias"] = found["bias"] / scale
        axis = output_axis(self.operation, self.parameters["kernel"])
        if "kernel" in found and axis is not None and found["kernel"].shape[axis] == scale.size:
            found["kernel"] = scaled(found["kernel"], 1 / scale, axis)
        return found

    def _filled(self, parameters: dict[str, Array], places: Array) -> dict[str, Array]:
        """Parameters for all outputs, where those for some are given."""
        found = {}
        for role, array in parameters.items():
            axis = (output_axis(self.operation, self.whole["kernel"]) or 0) if role == "kernel" else 0
            found[role] = self.whole[role].astype(np.result_type(self.whole[role], array))
            np.moveaxis(found[role], axis, 0)[places] = np.moveaxis(array, axis, 0)
        return found


@dataclass(frozen=True, slots=True)
class _End:
    """Where a layer's output has got to: which layer, and which axis its channels lie along, None if unknown."""

    place: int
    axis: int | None


def folded(subgraph: Subgraph, found: list[Layer]) -> list[Layer]:
    """The same layers, each with what follows it folded in; only what reads a layer alone can be folded."""
    result: list[Layer] = []
    ends: dict[str, _End] = {}
    by_node = {layer.node.index: layer for layer in found}
    for node in subgraph.nodes:
        layer = by_node.get(node.index)
        end = next((ends[name] for name in node.inputs if name in ends and _only_reader(subgraph, name)), None)
        if end is not None and layer is not None and layer.operation.kind == "norm":
            after = _with_norm(result[end.place], layer, node)
        elif end is not None and node.kind in AFFINE:
            after = _with_constant(subgraph, node, result[end.place], end.axis)
        else:
            after = None
        if after is not None and end is not None:
            result[end.place] = after
            _carry(ends, node, end)
        elif layer is not None:
            result.append(layer)
            if layer.operation.kind in LINEAR and "kernel" in layer.parameters:
                _carry(ends, node, _End(len(result) - 1, channel_axis(subgraph, layer)))
        elif end is not None and (node.kind in COPIES or _between_batches(subgraph, node)):
            _carry(ends, node, end)
        elif end is not None and node.kind in MOVES_AXES:
            _carry(ends, node, _End(end.place, moved_axis(subgraph, node, end.axis)))
    return result


def leading_affine(subgraph: Subgraph, channels: int) -> tuple[Array, Array] | None:
    """The factor and summand for each channel of the constants that a region begins with; None without a factor."""
    name, ones = subgraph.region.inputs[0] if subgraph.region.inputs else "", np.ones((channels, 1))
    layer: Layer | None = None
    for node in subgraph.nodes:
        if node.kind not in AFFINE or name not in node.inputs or not node.outputs:
            break
        before = layer or Layer(node, Operation("matmul", {}, ()), {"kernel": ones})
        if (after := _with_constant(subgraph, node, before, None)) is None:
            break
        layer, name = after, node.outputs[0]
    if layer is None or layer.scale is None:
        return None
    return layer.scale, np.zeros(channels) if layer.added is None else layer.added


def _carry(ends: dict[str, _End], node: Node, end: _End) -> None:
    """An activation fused into the node ends what can be folded."""
    if str(node.attributes.get("fused_activation") or "none").lower() == "none" and node.outputs:
        ends[node.outputs[0]] = end


def _between_batches(subgraph: Subgraph, node: Node) -> bool:
    """Whether a node joins the pieces that a dilated convolution was cut into: channels stay as they are."""
    operation = subgraph.operation(node) if node.kind == "depth_to_space" else None
    return operation is not None and operation.kind in {"space_to_batch", "batch_to_space"}


def _only_reader(subgraph: Subgraph, name: str) -> bool:
    readers = [node for node in subgraph.nodes if name in node.inputs and node.kind != "shape"]
    return len(readers) == 1 and name != subgraph.output


def channel_axis(subgraph: Subgraph, layer: Layer) -> int | None:
    """Which axis of a linear layer's result its outputs lie along; None where its rank is not known."""
    shape = subgraph.shape(layer.node.outputs[0]) if layer.node.outputs else None
    if shape is None:
        return None
    settings = layer.operation.settings
    channels = settings.channels if isinstance(settings, Windowed) else subgraph.graph.channels
    last = layer.operation.kind == "matmul" or channels == "last"
    return len(shape) - 1 if last else min(1, len(shape) - 1)


def moved_axis(subgraph: Subgraph, node: Node, axis: int | None) -> int | None:
    """Where a transposition, a reshape or a slice leaves an axis; None if that cannot be told."""
    if axis is None:
        return None
    shapes = [subgraph.shape(name) for name in (node.inputs[0], node.outputs[0])]
    if shapes[0] is None or shapes[1] is None or axis >= len(shapes[0]):
        return None
    if node.kind == "transpose":
        perm = node.permutation(len(shapes[0]))
        return None if perm is None else perm.index(axis)
    size = shapes[0][axis]
    if node.kind == "slice":
        return axis if len(shapes[0]) == len(shapes[1]) and shapes[1][axis] == size else None
    once = all(shape is not None and list(shape).count(size) == 1 for shape in shapes)
    return list(shapes[1]).index(size) if once else None


def _with_norm(layer: Layer, norm: Layer, node: Node) -> Layer | None:
    affine = as_affine(norm.operation)
    return None if affine is None else with_affine(layer, *affine, node)


def _with_constant(subgraph: Subgraph, node: Node, layer: Layer, axis: int | None) -> Layer | None:
    """A product or a sum with a constant: one number for each output, or one for all to multiply by."""
    if node.kind in INVERSES and not (len(node.inputs) > 1 and subgraph.settled(node.inputs[1]) is not None):
        return None  # a constant minus the output, or divided by it
    if node.attributes.get("alpha", 1) != 1:
        return None
    given = [array for name in node.inputs if name and (array := subgraph.settled(name)) is not None]
    other = node.attributes.get("other")
    given += [np.asarray(other, np.float64)] if isinstance(other, (int, float)) else []
    if len(given) != 1 or len(node.inputs) > 2 or not np.isfinite(given[0]).all():
        return None
    channels = layer.parameters["kernel"].shape[output_axis(layer.operation, layer.parameters["kernel"]) or 0]
    vector = _along(subgraph, node, given[0], channels, axis)
    if vector is None or (vector.size == 1 != channels and node.kind in SHIFTS):
        return None
    if node.kind in SCALES:
        return with_affine(layer, vector if node.kind == "mul" else 1 / vector, np.zeros(1), node)
    return with_affine(layer, None, vector if node.kind == "add" else -vector, node)


def _along(subgraph: Subgraph, node: Node, array: Array, channels: int, axis: int | None) -> Array | None:
    """A constant as one number for each channel, or a single one; None where it is spread along other axes."""
    if array.size == 1:
        return array.reshape(1).astype(np.float64)
    shape = subgraph.shape(node.outputs[0]) if node.outputs else None
    if array.size != channels:
        return None
    if axis is not None and shape is not None:
        lies = max(place for place, dim in enumerate(array.shape) if dim != 1) + len(shape) - array.ndim
        if lies != axis:
            return None
    return array.reshape(-1).astype(np.float64)


def with_affine(layer: Layer, scale: Array | None, added: Array, node: Node) -> Layer | None:
    """A layer whose outputs are multiplied, then added to; None where the sizes do not fit."""
    kernel = layer.parameters["kernel"]
    axis = output_axis(layer.operation, kernel)
    if axis is None:
        return None
    channels = kernel.shape[axis]
    if any(np.size(one) not in {1, channels} for one in (1 if scale is None else scale, added)):
        return None
    bias = layer.parameters.get("bias")
    taken = (*layer.taken, node.index)
    before = np.zeros(channels) if layer.added is None else layer.added
    if scale is None:
        bias = added + (0.0 if bias is None else bias) + np.zeros(channels)
        return replace(layer, parameters=layer.parameters | {"bias": bias}, added=before + added, taken=taken)
    scale = np.broadcast_to(scale, (channels,)).astype(np.float64)
    parameters = {"kernel": scaled(kernel.astype(np.float64), scale, axis)}
    if bias is not None or np.any(added):
        parameters["bias"] = (0.0 if bias is None else bias) * scale + added
    return replace(
        layer,
        parameters=parameters,
        raw=kernel if layer.raw is None else layer.raw,
        scale=scale if layer.scale is None else layer.scale * scale,
        added=before * scale + added if layer.added is not None or np.any(added) else None,
        taken=taken,
    )
