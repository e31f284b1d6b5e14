"""The node of a region that first makes what is no number, where the reference computes numbers alone.

Codes of few bits and maxima may hide it from all that is compared.
"""

from __future__ import annotations

from aligner.execution.side import Sides
from aligner.records.measurement import Measured


def first_nonfinite(sides: Sides, item: Measured) -> tuple[str, str, None] | None:
    """(The candidate's node, "nonfinite", None); it reads numbers alone. This costs no run."""
    shown = [side.profile.sketches if side.profile is not None else {} for side in sides]
    pair, graphs = item.pair, (sides[0].graph, sides[1].graph)
    made = [name for index in pair.reference_region.nodes for name in graphs[0].nodes[index].outputs if name]
    if any(seen is not None and not seen.finite for seen in map(shown[0].get, made)):
        return None
    finite = {name: seen.finite for name, seen in shown[1].items()}
    for node in (graphs[1].nodes[index] for index in pair.candidate_region.nodes):
        if not all(finite.get(name, True) for name in node.outputs):
            return (node.name, "nonfinite", None) if all(finite.get(name, True) for name in node.inputs) else None
    return None
