"""Random numbers where none should be, and kernels that compute something else each time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from aligner.adapters.wording import Topic
from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.causes.global_causes.chance import STEADY, unsteady, unsteady_words
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit


class DropoutActive(Cause):
    """Zeros at random and the rest scaled up: the model was exported in train mode."""

    id: ClassVar[str] = "dropout-active"
    fix: ClassVar[str] = "export in inference mode, which functional dropout has to be told"
    topic: ClassVar[Topic | None] = "inference-mode"
    example: ClassVar[str] = "functional dropout that ignores eval()"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """An active dropout taken out of its region."""
        active = [[node for node in subgraph.of_kind("dropout") if _trains(node)] for subgraph in culprit.subgraphs]
        if bool(active[0]) == bool(active[1]):
            return
        subgraph = culprit.subgraphs[0 if active[0] else 1]
        node = active[subgraph.side][0]
        before = subgraph.array(node.inputs[0]) if node.inputs else None
        yield Claim(
            f"{node.name} ({node.op}) drops elements at random in the {('reference', 'candidate')[subgraph.side]} "
            "alone",
            "switch to inference mode before exporting; for a comparison --eval does, of a live module",
            "with dropout off",
            culprit.swapped(subgraph, node.outputs[0], before) if before is not None and node.outputs else None,
            side=subgraph.side,
            node=node.name if subgraph.side else None,
        )


def _trains(node: Node) -> bool:
    return bool(node.attributes.get("training"))


class NondeterministicKernel(Cause):
    """A culprit that disagrees with itself: a race, memory that nobody wrote to, state between calls."""

    id: ClassVar[str] = "nondeterministic-kernel"
    fix: ClassVar[str] = "ask the runtime for deterministic kernels, or keep the spread of several runs in mind"
    example: ClassVar[str] = "sums by atomic additions"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Nodes of the region that a second run has shown."""
        for side, node in unsteady(context):
            if any(node.index == other.index for other in culprit.subgraphs[side].nodes):
                yield Claim(unsteady_words(side, node), STEADY, node=node.name if side else None)


class RandomOperation(Cause):
    """The region draws random numbers."""

    id: ClassVar[str] = "random-op"
    fix: ClassVar[str] = "feed the noise as an input, or store it as a constant"
    example: ClassVar[str] = "noise drawn inside a generator"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """A random operation on either side."""
        drawn = [(subgraph, node) for subgraph in culprit.subgraphs for node in subgraph.of_kind("random")]
        drawn += [
            (subgraph, node) for subgraph in culprit.subgraphs for node in subgraph.of_kind("dropout") if _trains(node)
        ]
        if drawn:
            subgraph, node = drawn[0]
            alone = len(drawn) == 1 and node.kind == "random"
            shape = subgraph.graph.values[node.outputs[0]].shape if alone else None
            sizes = [size for size in shape or () if size is not None]
            silence = None if shape is None or len(sizes) < len(shape) else np.zeros(sizes, np.float32)
            yield Claim(
                f"{node.name} ({node.op}) draws random numbers in the {('reference', 'candidate')[subgraph.side]}",
                "feed the noise as an input, or store it as a constant, on both sides",
                "with zeros in the place of what one side alone draws",
                None if silence is None else culprit.swapped(subgraph, node.outputs[0], silence),
                side=subgraph.side,
                structural=True,
                node=node.name if subgraph.side else None,
            )
