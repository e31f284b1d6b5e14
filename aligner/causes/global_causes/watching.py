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
        for note in survey.notes:
            role, _, rest = note.partition(": ")
            if any(other.startswith(f"the {role} gives other numbers") for other in survey.notes):
                continue  # it disagrees with itself, watched or not
            if rest.startswith("observing changes output") and role in {"reference", "candidate"}:
                outputs = survey.graphs[1 if role == "candidate" else 0].outputs
                yield Finding.of(
                    self.id,
                    outputs[0] if outputs else role,
                    "proven",
                    note,
                    "compare with --ort-optimization none, and look whether the untouched model is wrong at all",
                )
