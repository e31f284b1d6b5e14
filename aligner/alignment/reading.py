"""What a tensor is computed from: the nodes back to the nearest paired tensors, and the forms of those they read."""

from __future__ import annotations

from collections.abc import Container

from aligner.alignment.skeleton import Skeleton
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node

_MOST = 64
"""Nodes up to which a region is read; a longer one is no region that anything is known of."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``nodes`` that compute, ``forms`` of paired tensors that they read, in the order in which they are met."""

    skeleton: Skeleton
    nodes: tuple[Node, ...]
    forms: tuple[str, ...]


def reading(skeleton: Skeleton, root: str, paired: Container[str]) -> Reading:
    """Walk back from a tensor; empty where it is an input or too much lies between."""
    nodes: dict[int, Node] = {}
    forms: dict[str, None] = {}
    stack = [skeleton.producer[root]] if root in skeleton.producer else []
    while stack:
        node = stack.pop()
        if node.index in nodes:
            continue
        nodes[node.index] = node
        if len(nodes) > _MOST:
            return Reading(skeleton, (), ())
        for value in skeleton.data_inputs(node):
            source = skeleton.root(value)
            maker = skeleton.producer.get(source)
            if source in paired or maker is None:
                forms[value] = None
            else:
                stack.append(maker)
    return Reading(skeleton, tuple(nodes.values()), tuple(forms))
