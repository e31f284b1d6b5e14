"""What a tensor is computed from: the nodes back to the nearest paired tensors, and the forms of those they read."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from aligner.alignment.element_order import AxisMap, axis_map, moved_order, plain
from aligner.alignment.skeleton import Skeleton
from aligner.records.dataclass import dataclass
from aligner.records.graph import Node

Places = Mapping[str, Sequence[AxisMap | None]]
_MOST = 64
"""Nodes up to which a region is read; a longer one is no region that anything is known of."""


@dataclass(frozen=True, slots=True)
class Reading:
    """``nodes`` that compute, ``forms`` of paired tensors that they read, in the order in which they are met."""

    skeleton: Skeleton
    root: str
    nodes: tuple[Node, ...]
    forms: tuple[str, ...]

    def places(self) -> Places:
        """By tensor: which axis of the root each of its axes is, once for each way there through nodes that work
        element by element and moves that nothing answers; None where a move cuts across axes.
        """
        inside = {node.index for node in self.nodes}
        rank = len(self.skeleton.shape(self.root) or ())
        found: dict[str, list[AxisMap | None]] = {self.root: [{axis: axis for axis in range(-rank, 0)}]}
        for node in sorted(self.nodes, key=lambda node: -node.index):
            maps = [each for name in node.outputs for each in found.get(name, [])]
            for value in self.skeleton.data_inputs(node):
                source, places = value, maps
                while source not in self.forms:
                    move = self.skeleton.producer[source]
                    before = self.skeleton.moved(move)
                    if move.index in inside or before is None:
                        break
                    places = [_through(self.skeleton, move, before, each) for each in places]
                    source = before
                known = found.setdefault(source, [])
                known += [each for each in places if each not in known]
        return found


def _through(skeleton: Skeleton, move: Node, source: str, places: AxisMap | None) -> AxisMap | None:
    """What the axes of a moved tensor are, from what those of the move's output are."""
    shape = skeleton.shape(source)
    order = moved_order(skeleton, move, plain(shape)) if shape is not None and 0 not in shape else None
    steps = axis_map(plain(shape), order) if order is not None and shape is not None else None
    if steps is None or places is None or not steps.keys() <= places.keys():
        return None
    return {before: places[after] for after, before in steps.items()}


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
            return Reading(skeleton, root, (), ())
        for value in skeleton.data_inputs(node):
            source = skeleton.root(value)
            maker = skeleton.producer.get(source)
            if source in paired or maker is None:
                forms[value] = None
            else:
                stack.append(maker)
    return Reading(skeleton, root, tuple(nodes.values()), tuple(forms))
