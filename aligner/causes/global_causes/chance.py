"""What disagrees with itself from run to run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.context import Context
from aligner.causes.global_cause import GlobalCause
from aligner.operations.kinds import DRAWS
from aligner.records.comparison import Finding
from aligner.records.graph import Node


def unsteady(context: Context) -> Iterator[tuple[int, Node]]:
    """Side and node of what disagrees with itself from run to run and draws no random numbers."""
    for seen in context.observations.unsteady:
        node = context.graphs[seen.side].nodes[seen.index]
        if node.kind not in DRAWS:
            yield seen.side, node


def unsteady_words(side: int, node: Node) -> str:
    """What is said of such a node."""
    return (
        f"{node.name} ({node.op}) gives other numbers from run to run in the {('reference', 'candidate')[side]}, from "
        "the same input and without drawing any at random"
    )


STEADY = "ask the runtime for deterministic kernels, or compare with the spread of several runs in mind"


class NoisyTensors(GlobalCause):
    """Pairs that disagree with themselves from run to run."""

    id: ClassVar[str] = "random-op"

    def findings(self, context: Context) -> Iterator[Finding]:
        """The first pair that is computed from random numbers."""
        for item in context.measured:
            if context.verdicts.get(item.pair.candidate) != "nondeterministic" or item.tied:
                continue
            regions = item.pair.regions
            nodes = [g.nodes[i] for g, region in zip(context.graphs, regions, strict=True) for i in region.nodes]
            drawn = next((node for node in reversed(nodes) if node.kind in DRAWS), None)
            name = context.graphs[1].values[item.pair.candidate].name
            yield Finding.of(
                self.id,
                drawn.name if drawn else name,
                "proven",
                f"{name} is computed from random numbers" + (f" that {drawn.name} ({drawn.op}) draws" if drawn else ""),
                "feed the noise as an input, or store it as a constant, on both sides",
            )
            return


class UnsteadyNodes(GlobalCause):
    """The same where the spread is too small, or stands too early, to make a culprit."""

    id: ClassVar[str] = "nondeterministic-kernel"

    def findings(self, context: Context) -> Iterator[Finding]:
        """The first such node, unless it is a culprit."""
        regions = [(m.pair.reference_region, m.pair.candidate_region) for m in context.guilty]
        for side, node in unsteady(context):
            if not any(node.index in pair[side].nodes for pair in regions):
                yield Finding.of(self.id, node.name, "proven", unsteady_words(side, node), STEADY)
                return
