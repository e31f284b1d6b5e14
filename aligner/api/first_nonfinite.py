"""The node of a region that first makes what is no number, where the reference computes numbers alone.

Codes of few bits and maxima may hide it from all that is compared. What a mask adds counts as masked, and a node that
reads a stored infinity hands it on.
"""

from __future__ import annotations

import numpy as np

from aligner.execution.side import Sides
from aligner.records.measurement import Measured


def first_nonfinite(sides: Sides, item: Measured) -> tuple[str, str, None] | None:
    """(The candidate's node, "nonfinite", None); it reads numbers alone. This costs no run."""
    shown = [side.profile.sketches if side.profile is not None else {} for side in sides]
    finite = [{name: seen.core.finite for name, seen in some.items()} for some in shown]
    pair, graphs = item.pair, (sides[0].graph, sides[1].graph)
    made = [name for index in pair.reference_region.nodes for name in graphs[0].nodes[index].outputs]
    if not all(finite[0].get(name, True) for name in made):
        return None
    for node in (graphs[1].nodes[index] for index in pair.candidate_region.nodes):
        if not all(finite[1].get(name, True) for name in node.outputs):
            stored = (graphs[1].weights[name].values() for name in node.weights if name in graphs[1].weights)
            read = all(finite[1].get(name, True) for name in node.inputs)
            own = read and all(array.dtype.kind != "f" or bool(np.isfinite(array).all()) for array in stored)
            return (node.name, "nonfinite", None) if own else None
    return None
