"""Pairs that compute in the same few bits on both sides: no format stands between them to explain an error."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np

from aligner.operations.kinds import QUANTIZES
from aligner.operations.operation import Unsupported
from aligner.parameters.remembered import Remembered
from aligner.records.graph import Graph, Node
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit
from aligner.regions.layer_numbers import MATRICES, step_of
from aligner.regions.layers import layer_pairs
from aligner.regions.subgraph import Subgraph

STEPS = 2.0
"""Quantisation steps that two kernels for one operation on the same integers may lie apart."""
_ONE_STEP = 1.01
"""A step and what float32 makes of its product with a code."""
_GRIDS: Remembered[Counter[tuple[np.float32, int]]] = Remembered()


def are_twins(graphs: tuple[Graph, Graph], item: Measured) -> bool:
    """Whether both regions do the same in the same order on the same grids.

    Weights that were only rounded another way to the same grid make no twins: their errors are those of few bits.
    """
    culprit = Culprit(graphs, item, None)
    left, right = culprit.reference.nodes, culprit.candidate.nodes
    if not left or [node.kind for node in left] != [node.kind for node in right]:
        return False
    if not all(_same_grids(culprit, *nodes) for nodes in zip(left, right, strict=True)):
        return False
    try:
        return not _rounded_otherwise(culprit)
    except (Unsupported, ValueError, IndexError, TypeError, ArithmeticError):
        return False


def another_grid(graphs: tuple[Graph, Graph], item: Measured) -> str | None:
    """Words where the same nodes make a tensor of the same few bits on grids of which a code is half a step apart.

    Nothing but the two scales stands between such tensors: no bits are fewer that could explain what differs. Models
    that were calibrated apart differ in most of their grids, and the one is as good as the other.
    """
    if not _one_calibration(graphs):
        return None
    values = [graph.values.get(name) for graph, name in zip(graphs, item.pair.values, strict=True)]
    made = [[graph.nodes[at].kind for at in r.nodes] for graph, r in zip(graphs, item.pair.regions, strict=True)]
    if made[0] != made[1] or not made[0] or values[0] is None or values[1] is None:
        return None
    grids, dtypes = [value.quantization for value in values if value], {value.dtype for value in values if value}
    dtype = dtypes.pop() or ""
    if dtypes or not dtype.endswith("int8") or grids[0] is None or grids[1] is None:
        return None
    ends = np.array([np.iinfo(dtype).min, np.iinfo(dtype).max])[:, None]
    left, right = ((ends - np.array(grid.zero_point or (0,))) * np.array(grid.scale) for grid in grids if grid)
    if left.shape != right.shape or not (np.abs(left - right) > np.array(grids[0].scale) / 2).any():
        return None
    first = [f"{grid.scale[0]:.4g}" for grid in grids if grid]
    return f"coded with scale {first[1]}, the reference with {first[0]}, both of {dtype}"


def _one_calibration(graphs: tuple[Graph, Graph]) -> bool:
    """Whether most of the grids of the model that has fewer are the other's, too."""
    reference, candidate = (_GRIDS.of(graph, partial(_grids, graph)) for graph in graphs)
    return 2 * (reference & candidate).total() > min(reference.total(), candidate.total())


def _grids(graph: Graph) -> Counter[tuple[np.float32, int]]:
    """The grids of what nodes compute; other formats store scales in half as many digits as Python does."""
    made = (graph.values[name].quantization for node in graph.nodes for name in node.outputs if name in graph.values)
    return Counter((np.float32(grid.scale[0]), grid.zero_point[0]) for grid in made if grid)


def _same_grids(culprit: Culprit, node: Node, other: Node) -> bool:
    """Operands may stand in another order: a graph with an added operation renumbers none of its scales."""
    for mine, theirs in ((node.inputs, other.inputs), (node.outputs, other.outputs)):
        if len(mine) != len(theirs):
            return False
        grids = [
            [_grid(subgraph, name) for name in names]
            for subgraph, names in zip(culprit.subgraphs, (mine, theirs), strict=True)
        ]
        if grids[0] != grids[1]:
            return False
    if node.kind in QUANTIZES:
        return _constants(culprit.reference, node) == _constants(culprit.candidate, other)
    return True


def _grid(subgraph: Subgraph, name: str) -> object:
    held = subgraph.graph.weights.get(name) or subgraph.graph.values.get(name)
    if held is None:
        return None
    return held.quantization, "int" in (held.dtype or "")


def _constants(subgraph: Subgraph, node: Node) -> list[bytes | None]:
    """The scale and zero point of a quantising node, as stored."""
    found = [subgraph.weight(name) if name else None for name in node.inputs[1:3]]
    return [None if array is None else array.tobytes() for array in found]


def _rounded_otherwise(culprit: Culprit) -> bool:
    for pair in layer_pairs(culprit):
        step = step_of(culprit, pair)
        for role in pair.roles:
            left, right = pair.reference.parameters[role], pair.candidate.parameters[role]
            if step is None or role not in MATRICES or left.shape != right.shape:
                continue
            off = np.abs(left.astype(np.float64) - right)
            if off.any() and bool((off <= _ONE_STEP * step).all()):
                return True
    return False
