"""sensitivity(): which nodes of a coarser twin cost how much at the outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aligner.api.given_inputs import read_items
from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions, check
from aligner.api.run_file import check_unchanged, read_run
from aligner.errors import ComparisonError
from aligner.execution import memory
from aligner.execution.determinism import undisturbed
from aligner.execution.node_noise import MOST_RUNS, NodeNoise, NoiseEffects
from aligner.operations.kinds import QUANTIZES
from aligner.records import progress
from aligner.records.alignment import Region
from aligner.records.comparison import Comparison, Pair
from aligner.records.graph import Graph
from aligner.records.sensitivity import SensitiveNode, Sensitivity

_TRIED = 8
"""Nodes whose restoring is measured on the candidate itself, the dearest first."""


@undisturbed()
def sensitivity(
    reference: object,
    candidate: object,
    inputs: Any = None,
    *,
    options: CompareOptions | None = None,
    run: Path | None = None,
) -> Sensitivity:
    """Rank the candidate's nodes by what their own noise costs at the outputs.

    The reference runs once for each of them, with that node's noise and no other. ``run`` is a report of the same
    comparison, which must still hold. Raises ComparisonError where a side is a recording, or where no output of real
    numbers is paired, InputError where the report is of other files.
    """
    options = replace(options or CompareOptions(), local="always", explain=False, noise_floor=False)
    check(options)
    with memory.settled(), OpenModels(reference, candidate, options) as models:
        comparison = models.compare(read_items(inputs))
        if (earlier := read_run(run)) is not None:
            check_unchanged(earlier, comparison)
        sides, passes = models.sides, models.passes
        if passes is None or passes.computing != 1 or not sides[0].session.capabilities.can_inject:
            raise ComparisonError(
                "sensitivity takes two models that run",
                found=f"{comparison.reference.framework} and {comparison.candidate.framework}",
                hint="give the models that the recordings were made of",
            )
        effects = NoiseEffects(*sides, passes)
        if not effects.measurable:
            raise ComparisonError(
                "no output of real numbers is paired",
                found=f"{len(comparison.outputs)} paired outputs",
                hint="--map pairs tensors that were not paired; indices and masks have no noise to measure",
            )
        return _ranked(comparison, effects, memory.keep_budget(options.memory_limit), models)


def _ranked(comparison: Comparison, effects: NoiseEffects, budget: int, models: OpenModels) -> Sensitivity:
    noisy = effects.noisy()
    kept = list(effects.noises(noisy[:MOST_RUNS], budget))
    energies = []
    for done, noise in enumerate(kept):
        progress.advance(done, len(kept))
        energies.append(effects.alone(noise))
    order = sorted(range(len(kept)), key=lambda place: -energies[place])
    whole = math.fsum(energies)
    pairs = {pair.candidate.name: pair for pair in comparison.pairs}
    names = models.sides[1].graph.values
    nodes = []
    for rank, place in enumerate(order):
        noise, energy = kept[place], energies[place]
        pair = pairs.get(names[noise.pair.candidate].name)
        share = _share(energy, whole, energies)
        node = _node(noise, pair, energy, share, models)
        right = effects.reference_tensor(noise.pair.reference) if rank < _TRIED and share else None
        left = effects.restored(noise, right) if right is not None else None
        nodes.append(node if left is None else replace(node, restored=math.sqrt(left)))
    return Sensitivity(
        reference=comparison.reference,
        candidate=comparison.candidate,
        error=math.sqrt(effects.baseline),
        sum=math.sqrt(whole),
        nodes=tuple(nodes),
        unmeasured=len(noisy) - len(kept),
        notes=comparison.notes,
    )


def _share(energy: float, whole: float, every: Sequence[float]) -> float:
    """Infinite ones share everything among them."""
    if math.isinf(whole):
        return 1 / sum(map(math.isinf, every)) if math.isinf(energy) else 0.0
    return energy / whole if whole else 0.0


def _node(noise: NodeNoise, pair: Pair | None, energy: float, share: float, models: OpenModels) -> SensitiveNode:
    sides = models.sides
    names = [
        _computing(sides[0].graph, noise.pair.reference, noise.pair.reference_region),
        _computing(sides[1].graph, noise.pair.candidate, noise.pair.candidate_region),
    ]
    return SensitiveNode(
        reference=sides[0].graph.values[noise.pair.reference].name,
        candidate=sides[1].graph.values[noise.pair.candidate].name,
        op=(pair.reference.op or pair.candidate.op) if pair is not None else "",
        reference_nodes=names[0],
        candidate_nodes=names[1],
        scope=pair.reference.scope if pair is not None else None,
        noise=noise.relative,
        clipped=noise.clipped,
        effect=math.sqrt(energy),
        share=share,
    )


def _computing(graph: Graph, value: str, region: Region) -> tuple[str, ...]:
    """Names of the nodes that compute the tensor: its region's, else the last that does more than recode it."""
    found = tuple(graph.nodes[at].name for at in region.nodes if graph.nodes[at].kind not in QUANTIZES)
    node = graph.producer(value)
    while node is not None and node.kind in QUANTIZES and node.inputs:
        node = graph.producer(node.inputs[0])
    return found or ((node.name,) if node is not None else ())
