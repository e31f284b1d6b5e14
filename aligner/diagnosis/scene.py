"""A culprit's region on both sides: what every cause looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aligner.records.graph import Graph, Node, Weight
from aligner.records.measurement import Measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Scene:
    """One guilty pair with the nodes and weights of its region on both sides."""

    measured: Measured
    reference_nodes: tuple[Node, ...]
    candidate_nodes: tuple[Node, ...]
    reference_weights: tuple[Weight, ...]
    candidate_weights: tuple[Weight, ...]

    @property
    def name(self) -> str:
        """The guilty tensor, in the candidate's words."""
        return self.measured.pair.candidate

    @property
    def candidate_node(self) -> Node | None:
        """The node a user should open: the weightiest of the region, else the last."""
        return _principal(self.candidate_nodes)

    @property
    def reference_node(self) -> Node | None:
        """Likewise on the reference's side."""
        return _principal(self.reference_nodes)


_PRINCIPAL = ("conv", "conv_transpose", "matmul", "recurrent", "attention", "norm", "resize", "max_pool", "avg_pool")


def _principal(nodes: tuple[Node, ...]) -> Node | None:
    for kind in _PRINCIPAL:
        for node in nodes:
            if node.kind == kind:
                return node
    return nodes[-1] if nodes else None


def set_scene(graphs: tuple[Graph, Graph], measured: Measured) -> Scene:
    """Gather a region's nodes and weights on both sides."""
    regions = measured.pair.reference_region, measured.pair.candidate_region
    nodes = [tuple(graph.nodes[i] for i in region.nodes) for graph, region in zip(graphs, regions, strict=True)]
    weights = [
        tuple(graph.weights[name] for name in region.weights if name in graph.weights)
        for graph, region in zip(graphs, regions, strict=True)
    ]
    return Scene(measured, nodes[0], nodes[1], weights[0], weights[1])
