"""What it takes to show one culprit's fault alone: what its region reads, and what it should give."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aligner.causes.search import Examined
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node


@dataclass(frozen=True, slots=True, eq=False)
class Specimen:
    """One guilty region: ``inputs`` in the candidate's own layout and as it stores them, ``expected`` in real numbers.

    ``suspicion`` is the best explanation, "" where there is none.
    """

    value: str
    node: str
    nodes: tuple[Node, ...]
    inputs: Mapping[str, Array]
    expected: Array
    suspicion: str


def specimen(one: Examined) -> Specimen:
    """The culprit's region and its tensors. Raises Unsupported where they were not kept, or do not fit."""
    subgraph, pair = one.culprit.candidate, one.culprit.measured.pair
    expected, computed = one.culprit.expected, subgraph.array(pair.candidate)
    if expected is None or computed is None or not subgraph.nodes:
        raise Unsupported("tensors that were not kept")
    wanted = to_candidate(expected, pair.axes, computed.shape)
    if wanted is None:
        raise Unsupported("a shape of its own")
    inputs = {name: stored(subgraph.graph, name, subgraph.array(name)) for name in subgraph.region.inputs}
    words = one.proven[0].evidence if one.proven else ""
    return Specimen(pair.candidate, one.culprit.where, subgraph.nodes, inputs, wanted, words)


def stored(graph: Graph, name: str, array: Array | None) -> Array:
    """As the model holds the value."""
    value = graph.values.get(name)
    if array is None or value is None:
        raise Unsupported(f"{name} was not kept")
    try:
        dtype = np.dtype(value.dtype or array.dtype)
    except TypeError as error:
        raise Unsupported(f"{value.dtype}, which numpy lacks") from error
    if value.quantization is not None and value.quantization.scale and array.dtype.kind == "f" and dtype.kind in "iu":
        return value.quantization.quantize(array, dtype)
    return array.astype(dtype)
