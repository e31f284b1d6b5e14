"""Run a side once more from another seed: what changes is random."""

from __future__ import annotations

from dataclasses import replace

from aligner.api.side import OpenSide
from aligner.capture.profile import profile
from aligner.errors import listing
from aligner.records.graph import Node


def varying_nodes(side: OpenSide) -> list[Node]:
    """The nodes whose results another seed changes although all that they read stays as it was, in order."""
    assert side.profile is not None
    if not side.session.can_inject:  # a recording repeats itself
        return []
    other = replace(side, seed=side.seed + 1)
    again = profile(other.run(None, phase="running with another seed"), 0).sketches
    first = side.profile.sketches
    varies = {value for value in first if value in again and _differ(first[value], again[value])}
    return [
        node
        for node in side.graph.nodes
        if any(value in varies for value in node.outputs) and not any(value in varies for value in node.inputs)
    ]


def unsteady(side: OpenSide, found: list[Node] | None = None) -> list[str]:
    """A sentence where a side disagrees with itself; the causes look for it."""
    nodes = varying_nodes(side) if found is None else found
    names = listing(f"{node.name} ({node.op})" for node in nodes)
    return [f"the {side.role} gives other numbers with another seed from {names} on"] if nodes else []


def _differ(one: object, other: object) -> bool:
    return repr(one) != repr(other)  # NaN would differ from itself
