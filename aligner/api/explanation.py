"""What a report says beyond its pairs."""

from __future__ import annotations

from collections.abc import Sequence

from aligner.records.comparison import Finding, WeightTally
from aligner.records.dataclass import dataclass
from aligner.records.dissection import Dissection
from aligner.records.preview import Preview


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why, best first; what became of the weights, culprits taken apart, pictures: of a comparison that diverged."""

    causes: Sequence[Finding] = ()
    weights: WeightTally | None = None
    dissections: tuple[Dissection, ...] = ()
    previews: tuple[Preview, ...] = ()
