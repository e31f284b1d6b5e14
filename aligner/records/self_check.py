"""What a decoder says of itself: all tokens at once against one more by its cache."""

from __future__ import annotations

from aligner.records.comparison import ModelSummary
from aligner.records.dataclass import dataclass
from aligner.records.steps import Step, StepVerdict


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """One decoder against itself: every step's error of the scores, the first node that differs after a cache.

    ``precise``: "float64" where the steps are of the widened model, which agreed in its own precision before.
    """

    model: ModelSummary
    verdict: StepVerdict
    steps: tuple[Step, ...]
    precise: str = ""

    @property
    def exit_code(self) -> int:
        """0 where both ways agree, 1 where not."""
        return int(self.verdict != "aligned")
