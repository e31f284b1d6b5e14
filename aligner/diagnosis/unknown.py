"""The honest answer where no hypothesis holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.diagnosis.cause import Cause, Claim
from aligner.diagnosis.scene import Scene
from aligner.diagnosis.survey import Survey


class Unknown(Cause):
    """Not sought: said of a culprit when every cause has passed."""

    id: ClassVar[str] = "unknown"
    prior: ClassVar[float] = 0.15
    sought: ClassVar[bool] = False

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:  # noqa: ARG002 - it looks at nothing else
        """The residual, and nothing more."""
        local = scene.measured.local or scene.measured.accumulated
        if local is None:
            residual = scene.measured.pair.note or "shapes differ"
        else:
            residual = f"residual {local.errors.max_abs:.2g} at most, {local.relative:.1%} of the tensor"
        yield Claim(
            f"{scene.where} computes something else from the same input, cause unknown: {residual}",
            "look at this node and its settings on both sides",
        )
