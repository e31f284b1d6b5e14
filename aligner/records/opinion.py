"""What one named rule says of a pair or of a whole comparison."""

from __future__ import annotations

from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Opinion:
    """``rule`` is an id of docs/verdicts.md; ``margin`` the error over its limit, None where nothing is measured."""

    verdict: str
    rule: str
    why: str = ""
    margin: float | None = None
