"""Whether a side repeats itself: run untouched, and from another seed, where what changes is random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from aligner.errors import listing
from aligner.execution.profile import profile, sketch
from aligner.execution.side import OpenSide
from aligner.numerics.rounding import unit
from aligner.operations.kinds import STEP_FUNCTIONS
from aligner.records.alignment import Sketch
from aligner.records.graph import Graph, Node
from aligner.records.observation import Observations, ObservedDifference, UnsteadyNode
from aligner.records.tensor import CapturedTensor

_DISTURBED = 1e-4
"""Relative to the output's root mean square."""
_UNITS_MOVED = 8
"""Roundings of a narrow dtype that fused kernels leave out between nodes move what is looked at by so many units …"""
_REQUANTISED = 8 * 2.0**-8
"""… as steps do in a graph with quantised tensors: fused, a layer computes in whole numbers what it computes in floats
when its parts are looked at, and each result may fall on the next step, as in ``judgement.tolerance.bound``."""

_FLIPPED = 0.01
"""Share of rounded elements that may flip by one step, as in ``judgement.pair_facts``; one may in any tensor."""


def varying_nodes(side: OpenSide) -> list[Node]:
    """The nodes whose results another seed changes although all that they read stays as it was, in order.

    So do those that say that no seed reaches them, whose runtime happens to repeat itself within one process.
    """
    assert side.profile is not None
    if not side.session.capabilities.can_inject:  # a recording repeats itself
        return []
    other = replace(side, seed=side.seed + 1)
    again = profile(other.run(None, phase="running with another seed"), 0).sketches
    first = side.profile.sketches
    varies = {value for value in first if value in again and _differ(first[value], again[value])}
    varies |= {value for node in side.graph.nodes if unseeded(node) for value in node.outputs}
    return [
        node
        for node in side.graph.nodes
        if any(value in varies for value in node.outputs) and not any(value in varies for value in node.inputs)
    ]


def unseeded(node: Node) -> bool:
    """Whether a node draws numbers by a generator that nobody can seed."""
    return node.attributes.get("seeded") is False


def unsteady(side: OpenSide, found: list[Node] | None = None) -> Observations:
    """Where a side disagrees with itself."""
    nodes = varying_nodes(side) if found is None else found
    names = listing(f"{node.name} ({node.op})" for node in nodes)
    return Observations(
        tuple(UnsteadyNode(_place(side), node.index) for node in nodes),
        notes=(f"the {side.role} gives other numbers with another seed from {names} on",) if nodes else (),
    )


def _place(side: OpenSide) -> int:
    return 1 if side.role == "candidate" else 0


def disturbed(side: OpenSide, untouched: Sequence[CapturedTensor]) -> Observations:
    """Where the untouched run's outputs differ from the observed run's by more than rounding."""
    assert side.profile is not None
    steps = any(value.quantization is not None for value in side.graph.values.values())
    steps |= any(node.kind == "quantize" for node in side.graph.nodes)
    coarsest = max((unit(value.dtype) for value in side.graph.values.values()), default=0.0)
    least = max(_REQUANTISED if steps else _DISTURBED, _UNITS_MOVED * coarsest)
    for tensor in untouched:
        seen = side.profile.sketches.get(tensor.value)
        if seen is None or tensor.occurrence:
            continue
        plain = sketch(tensor)
        if _moved(plain, seen) > max(least, _by_flips(side.graph, tensor.value, plain)):
            name = side.graph.values[tensor.value].name if tensor.value in side.graph.values else tensor.value
            note = (
                f"{side.role}: observing changes output {name} (mean {plain.mean:.6g} untouched, {seen.mean:.6g} "
                "observed): a fused kernel or state between calls may be the culprit"
            )
            changed = ObservedDifference(_place(side), tensor.value, note)
            return Observations(changed=(changed,), notes=(note,)) + unsteady(side)
    return Observations()


def _by_flips(graph: Graph, value: str, plain: Sketch) -> float:
    """How far whole numbers may move, where what they are rounded from moves by rounding: a few of them by one."""
    from aligner.parameters.canonical import operation_kind

    node = graph.producer(value)
    if node is None or operation_kind(graph, node) not in STEP_FUNCTIONS or not plain.size:
        return 0.0
    return 2 * max(_FLIPPED, 1 / plain.size) / max(plain.rms, math.ulp(1.0))


def _moved(plain: Sketch, seen: Sketch) -> float:
    """How far mean and size of an output are from those of the observed run, in parts of its size."""
    if not (plain.finite and seen.finite):
        return math.inf if plain.finite != seen.finite else 0.0
    return (abs(plain.rms - seen.rms) + abs(plain.mean - seen.mean)) / max(plain.rms, math.ulp(1.0))


def _differ(one: object, other: object) -> bool:
    return repr(one) != repr(other)  # NaN would differ from itself
