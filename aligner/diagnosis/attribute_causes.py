"""Causes that lie in attributes: the two sides' nodes do the same thing with other settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aligner.diagnosis.scene import Scene
from aligner.records.comparison import Finding
from aligner.records.graph import Attribute, Node

_IDS = {
    "pads": "padding-asymmetric",
    "strides": "conv-stride-dilation-groups",
    "dilations": "conv-stride-dilation-groups",
    "groups": "conv-stride-dilation-groups",
    "epsilon": "norm-epsilon",
    "count_include_pad": "pool-count-include-pad",
    "ceil_mode": "pool-ceil-mode",
    "alpha": "activation-variant",
    "approximate": "activation-variant",
    "coordinate_transformation_mode": "resize-coordinate-mode",
    "align_corners": "resize-coordinate-mode",
    "nearest_mode": "resize-nearest-rounding",
    "output_padding": "transposed-conv-output-padding",
    "linear_before_reset": "gru-reset-after",
    "direction": "rnn-direction",
}
_AXIS = {"softmax": "softmax-axis", "log_softmax": "softmax-axis", "reduce": "reduce-axis-or-bias"}


def attribute_findings(scene: Scene) -> Iterator[Finding]:
    """Settings that differ between the nodes of one kind in a culprit's region."""
    for node in scene.candidate_nodes:
        partners = [other for other in scene.reference_nodes if other.kind == node.kind]
        if len(partners) == 1:
            yield from _differences(partners[0], node, scene)


def _differences(reference: Node, candidate: Node, scene: Scene) -> Iterator[Finding]:
    for name, identifier in _IDS.items():
        if name in reference.attributes and name in candidate.attributes:
            left, right = _plain(reference.attributes, name), _plain(candidate.attributes, name)
            if left is not None and right is not None and not _equal(left, right):
                yield _finding(identifier, reference, candidate, name, left, right)
    axis = _AXIS.get(candidate.kind)
    if axis and scene.measured.pair.axes is None:
        left, right = (_axis(node, scene) for node in (reference, candidate))
        if left is not None and right is not None and left != right:
            yield _finding(axis, reference, candidate, "axis", left, right)


def _axis(node: Node, scene: Scene) -> Attribute:
    value = node.attributes.get("axis", node.attributes.get("axes"))
    rank = len(scene.measured.candidate_shape or ())
    if isinstance(value, int) and not isinstance(value, bool):
        return value % rank if rank else value
    return tuple(v % rank if rank else v for v in value) if isinstance(value, tuple) else None


def _plain(attributes: Mapping[str, Attribute], name: str) -> Attribute:
    value = attributes.get(name)
    if (
        name == "pads"
        and isinstance(value, tuple)
        and not all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
    ):
        return None
    return value


def _equal(left: Attribute, right: Attribute) -> bool:
    if isinstance(left, float) or isinstance(right, float):
        if not isinstance(left, (int, float)) or not isinstance(right, (int, float)):
            return False
        return abs(left - right) <= 1e-3 * max(abs(left), abs(right))  # float32 copies of decimal settings
    return left == right


def _finding(
    identifier: str, reference: Node, candidate: Node, name: str, left: Attribute, right: Attribute
) -> Finding:
    where = f" ({reference.source})" if reference.source else ""
    return Finding(
        identifier,
        candidate.name,
        0.8,
        f"{name} is {right} in the candidate's {candidate.op} and {left} in the reference's {reference.op}{where}",
        None,
        f"give {candidate.name} {name} {left}",
    )
