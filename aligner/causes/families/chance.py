"""Random numbers where none should be, and kernels that compute something else each time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, Proof, largest
from aligner.causes.context import Survey
from aligner.causes.global_causes.chance import STEADY, unsteady, unsteady_words
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit


class DropoutActive(Cause):
    """Zeros at random and the rest scaled up: the model was exported in train mode."""

    id: ClassVar[str] = "dropout-active"
    fix: ClassVar[str] = "call model.eval() before exporting, and F.dropout(x, training=self.training)"
    example: ClassVar[str] = "functional dropout that ignores eval()"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, survey: Survey) -> Iterator[Claim]:
        """An active dropout taken out of its region; one side's elements zero or a fixed multiple of the other's."""
        yield from self._taken_out(culprit)
        yield from self._multiples(culprit)

    def _taken_out(self, culprit: Culprit) -> Iterator[Claim]:
        active = [[node for node in part.of_kind("dropout") if _trains(node)] for part in culprit.parts]
        if bool(active[0]) == bool(active[1]):
            return
        part = culprit.parts[0 if active[0] else 1]
        node = active[part.side][0]
        before = part.array(node.inputs[0]) if node.inputs else None
        yield Claim(
            f"{node.name} ({node.op}) drops elements at random in the {('reference', 'candidate')[part.side]} alone",
            "switch the module to eval mode: model.eval() before it is exported, --eval",
            "with dropout off",
            culprit.swapped(part, node.outputs[0], before) if before is not None and node.outputs else None,
            side=part.side,
            node=node.name if part.side else None,
        )

    def _multiples(self, culprit: Culprit) -> Iterator[Claim]:
        if (
            culprit.expected is None
            or culprit.found is None
            or not culprit.gap > 0
            or culprit.expected.dtype.kind != "f"
        ):
            return
        for who, plain, dropped in (
            ("the candidate", culprit.expected, culprit.found),
            ("the reference", culprit.found, culprit.expected),
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
                    f"{who} zeroes {1 - kept.mean():.0%} of the elements at {culprit.where} and multiplies the rest by "
                    f"{factor:.4g} = 1 / (1 − {1 - 1 / factor:.3g}): dropout is active",
                    "call model.eval() before exporting, and F.dropout(x, training=self.training)",
                    "with dropout off",
                    measured=Proof(1.0, largest(culprit.found, culprit.expected), 0.0),
                )
                return


def _trains(node: Node) -> bool:
    return bool(node.attributes.get("training") or node.attributes.get("training_mode"))


class NondeterministicKernel(Cause):
    """A culprit that disagrees with itself: a race, memory that nobody wrote to, state between calls."""

    id: ClassVar[str] = "nondeterministic-kernel"
    fix: ClassVar[str] = "ask the runtime for deterministic kernels, or keep the spread of several runs in mind"
    example: ClassVar[str] = "sums by atomic additions"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, survey: Survey) -> Iterator[Claim]:
        """Nodes of the region that a second run has shown."""
        for side, node in unsteady(survey):
            if any(node.index == other.index for other in culprit.parts[side].nodes):
                yield Claim(unsteady_words(side, node), STEADY, node=node.name if side else None)


class RandomOperation(Cause):
    """The region draws random numbers."""

    id: ClassVar[str] = "random-op"
    fix: ClassVar[str] = "feed the noise as an input, or store it as a constant"
    example: ClassVar[str] = "noise drawn inside a generator"
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, survey: Survey) -> Iterator[Claim]:
        """A random operation on either side."""
        drawn = [(part, node) for part in culprit.parts for node in part.of_kind("random")]
        drawn += [(part, node) for part in culprit.parts for node in part.of_kind("dropout") if _trains(node)]
        if drawn:
            part, node = drawn[0]
            yield Claim(
                f"{node.name} ({node.op}) draws random numbers in the {('reference', 'candidate')[part.side]}",
                "feed the noise as an input, or store it as a constant, on both sides",
                node=node.name if part.side else None,
            )
