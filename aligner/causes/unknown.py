"""The honest answer where no hypothesis holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.context import Context
from aligner.regions.culprit import Culprit


class Unknown(Cause):
    """Not sought: said of a culprit when every cause has passed."""

    id: ClassVar[str] = "unknown"
    fix: ClassVar[str] = "look at this node and its settings on both sides"
    example: ClassVar[str] = "two differences at one place"
    sought: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:  # noqa: ARG002 - it looks at nothing else
        """The residual, and nothing more."""
        local = culprit.measured.local or culprit.measured.accumulated
        if local is None:
            residual = culprit.measured.pair.note or "shapes differ"
        else:
            residual = f"residual {local.errors.max_abs:.2g} at most, {local.relative:.1%} of the tensor"
        yield Claim(
            f"{culprit.where} computes something else from the same input, cause unknown: {residual}",
            self.fix,
        )
