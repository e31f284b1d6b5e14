"""Random numbers where none should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.diagnosis.cause import Cause, Claim, Proof, largest
from aligner.diagnosis.scene import Scene
from aligner.diagnosis.survey import Survey


class DropoutActive(Cause):
    """Zeros at random and the rest scaled up: the model was exported in train mode."""

    id: ClassVar[str] = "dropout-active"
    prior: ClassVar[float] = 0.97

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """One side's elements are zero or a fixed multiple, above one, of the other's."""
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


class RandomOperation(Cause):
    """The region draws random numbers."""

    id: ClassVar[str] = "random-op"
    prior: ClassVar[float] = 0.85

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """A random operation on either side."""
        drawn = [(part, node) for part in scene.parts for node in part.of_kind("random")]
        drawn += [
            (part, node)
            for part in scene.parts
            for node in part.of_kind("dropout")
            if node.attributes.get("training") or node.attributes.get("training_mode")
        ]
        if drawn:
            part, node = drawn[0]
            yield Claim(
                f"{node.name} ({node.op}) draws random numbers in the {('reference', 'candidate')[part.side]}",
                "feed the noise as an input, or store it as a constant, on both sides",
                node=node.name if part.side else None,
            )
