"""Random numbers where none should be, and kernels that compute something else each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from aligner.diagnosis.cause import Cause, Claim, Proof, largest
from aligner.diagnosis.scene import Scene
from aligner.diagnosis.survey import Survey
from aligner.diagnosis.whole import WholeCause
from aligner.records.comparison import Finding
from aligner.records.graph import Node


class DropoutActive(Cause):
    """Zeros at random and the rest scaled up: the model was exported in train mode."""

    id: ClassVar[str] = "dropout-active"
    prior: ClassVar[float] = 0.97

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """An active dropout taken out of its region; one side's elements zero or a fixed multiple of the other's."""
        yield from self._taken_out(scene)
        yield from self._multiples(scene)

    def _taken_out(self, scene: Scene) -> Iterator[Claim]:
        active = [[node for node in part.of_kind("dropout") if _trains(node)] for part in scene.parts]
        if bool(active[0]) == bool(active[1]):
            return
        part = scene.parts[0 if active[0] else 1]
        node = active[part.side][0]
        before = part.array(node.inputs[0]) if node.inputs else None
        yield Claim(
            f"{node.name} ({node.op}) drops elements at random in the {('reference', 'candidate')[part.side]} alone",
            "switch the module to eval mode: model.eval() before it is exported, --eval",
            "with dropout off",
            scene.swapped(part, node.outputs[0], before) if before is not None and node.outputs else None,
            side=part.side,
            node=node.name if part.side else None,
        )

    def _multiples(self, scene: Scene) -> Iterator[Claim]:
        import numpy as np

        if scene.expected is None or scene.found is None or not scene.gap > 0 or scene.expected.dtype.kind != "f":
            return
        for who, plain, dropped in (
            ("the candidate", scene.expected, scene.found),
            ("the reference", scene.found, scene.expected),
        ):
            known = (plain != 0) & np.isfinite(plain) & np.isfinite(dropped)
            if known.sum() < 16:
                continue
            ratio = dropped[known].astype(np.float64) / plain[known]
            kept = ratio != 0
            if not 0.02 < kept.mean() < 0.999 or not kept.any():
                continue
            factor = float(np.median(ratio[kept]))
            fitting = np.abs(ratio[kept] - factor) <= 1e-3 * factor
            expected = 1 / float(kept.mean())
            if factor > 1.001 and fitting.mean() > 0.999 and abs(factor / expected - 1) < 0.35:
                yield Claim(
                    f"{who} zeroes {1 - kept.mean():.0%} of the elements at {scene.where} and multiplies the rest by "
                    f"{factor:.4g} = 1 / (1 − {1 - 1 / factor:.3g}): dropout is active",
                    "call model.eval() before exporting, and F.dropout(x, training=self.training)",
                    "with dropout off",
                    measured=Proof(1.0, largest(scene.found, scene.expected), 0.0),
                )
                return


def _trains(node: Node) -> bool:
    return bool(node.attributes.get("training") or node.attributes.get("training_mode"))


class NoisyTensors(WholeCause):
    """Pairs that disagree with themselves from run to run."""

    id: ClassVar[str] = "random-op"

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """The first pair that is computed from random numbers."""
        for item in survey.measured:
            if survey.verdicts.get(item.pair.candidate) != "nondeterministic":
                continue
            regions = item.pair.reference_region, item.pair.candidate_region
            nodes = [g.nodes[i] for g, region in zip(survey.graphs, regions, strict=True) for i in region.nodes]
            drawn = next((node for node in reversed(nodes) if node.kind in {"random", "dropout"}), None)
            name = survey.graphs[1].values[item.pair.candidate].name
            yield Finding(
                self.id,
                drawn.name if drawn else name,
                0.9,
                f"{name} is computed from random numbers" + (f" that {drawn.name} ({drawn.op}) draws" if drawn else ""),
                None,
                "feed the noise as an input, or store it as a constant, on both sides",
            )
            return


_UNSTEADY = re.compile(r"the (reference|candidate) gives other numbers with another seed from (.+) on$")
"""What a second run of a side is reported to have shown."""


def _unsteady(survey: Survey) -> Iterator[tuple[int, Node]]:
    """Side and node of what disagrees with itself from run to run and draws no random numbers."""
    for note in survey.notes:
        said = _UNSTEADY.fullmatch(note)
        side = 0 if said and said[1] == "reference" else 1
        for node in survey.graphs[side].nodes if said else ():
            if said and f"{node.name} ({node.op})" in said[2] and node.kind not in {"random", "dropout"}:
                yield side, node


def _unsteady_words(side: int, node: Node) -> str:
    return (
        f"{node.name} ({node.op}) gives other numbers from run to run in the {('reference', 'candidate')[side]}, from "
        "the same input and without drawing any at random"
    )


_STEADY = "ask the runtime for deterministic kernels, or compare with the spread of several runs in mind"


class NondeterministicKernel(Cause):
    """A culprit that disagrees with itself: a race, memory that nobody wrote to, state between calls."""

    id: ClassVar[str] = "nondeterministic-kernel"
    prior: ClassVar[float] = 0.9

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """Nodes of the region that a second run has shown."""
        for side, node in _unsteady(survey):
            if any(node.index == other.index for other in scene.parts[side].nodes):
                yield Claim(_unsteady_words(side, node), _STEADY, node=node.name if side else None)


class UnsteadyNodes(WholeCause):
    """The same where the spread is too small, or stands too early, to make a culprit."""

    id: ClassVar[str] = "nondeterministic-kernel"

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """The first such node, unless it is a culprit."""
        regions = [(m.pair.reference_region, m.pair.candidate_region) for m in survey.guilty]
        for side, node in _unsteady(survey):
            if not any(node.index in pair[side].nodes for pair in regions):
                yield Finding(self.id, node.name, 0.8, _unsteady_words(side, node), None, _STEADY)
                return


class RandomOperation(Cause):
    """The region draws random numbers."""

    id: ClassVar[str] = "random-op"
    prior: ClassVar[float] = 0.85

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """A random operation on either side."""
        drawn = [(part, node) for part in scene.parts for node in part.of_kind("random")]
        drawn += [(part, node) for part in scene.parts for node in part.of_kind("dropout") if _trains(node)]
        if drawn:
            part, node = drawn[0]
            yield Claim(
                f"{node.name} ({node.op}) draws random numbers in the {('reference', 'candidate')[part.side]}",
                "feed the noise as an input, or store it as a constant, on both sides",
                node=node.name if part.side else None,
            )
