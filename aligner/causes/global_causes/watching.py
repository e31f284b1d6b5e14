"""Looking at a model may change what it computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from aligner.causes.context import Survey
from aligner.causes.global_cause import WholeCause
from aligner.records.comparison import Finding


class CaptureArtefact(WholeCause):
    """Looking changed what was seen: the observed run's outputs are not the untouched run's."""

    id: ClassVar[str] = "capture-artefact"

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """What the untouched run said."""
        restless = {seen.side for seen in survey.observations.unsteady}
        for changed in survey.observations.changed:
            if changed.side not in restless:  # else it disagrees with itself, watched or not
                yield Finding.of(
                    self.id,
                    changed.output,
                    "proven",
                    changed.words,
                    "compare with --ort-optimization none, and look whether the untouched model is wrong at all",
                )
