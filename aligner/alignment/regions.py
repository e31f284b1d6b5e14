"""Regions: the nodes between one paired tensor and the paired tensors before it."""

from __future__ import annotations

from collections.abc import Collection

from aligner.alignment.skeleton import Skeleton
from aligner.records.alignment import Region


def region(skeleton: Skeleton, value: str, paired: Collection[str]) -> Region:
    """What computes ``value`` from the nearest tensors in ``paired`` and the graph's inputs."""
    nodes: dict[int, tuple[str, ...]] = {}
    starts: list[str] = []
    weights: dict[str, None] = {}
    stack = [value]
    while stack:
        name = stack.pop()
        node = skeleton.producer.get(name)
        if node is None or (name in paired and name != value):
            starts.append(name)
            continue
        if node.index in nodes:
            continue
        nodes[node.index] = node.outputs
        weights.update(dict.fromkeys(skeleton.weight_roots(node)))
        stack.extend(skeleton.data_inputs(node))
    return Region(tuple(sorted(nodes)), tuple(weights), tuple(dict.fromkeys(starts)))
