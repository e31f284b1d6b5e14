"""One model under the switches of its runtime: what each setting changes, and where."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from aligner.records.comparison import EXIT_CODES, Finding, ModelSummary, Pair, Tolerance, Verdict
from aligner.records.dataclass import dataclass
from aligner.records.document_field import WHEN_SET

Outcome = Literal["same", "aligned", "diverged", "inconclusive", "failed"]
"""``same``: bit for bit; ``failed``: the runtime does not take the setting, or the model not under it."""


@dataclass(frozen=True, slots=True)
class Variation:
    """A setting held against the plainest one of its switch, ``against``.

    ``error`` is the largest difference of the outputs. ``steps`` are those of the runtime without which the setting is
    right: the fewest, none of which may stay.
    """

    switch: str
    setting: str
    against: str
    outcome: Outcome
    reason: str
    error: float | None = None
    first_divergence: Pair | None = None
    causes: tuple[Finding, ...] = ()
    steps: tuple[str, ...] = field(default=(), metadata=WHEN_SET)
    notes: tuple[str, ...] = field(default=(), metadata=WHEN_SET)


@dataclass(frozen=True, slots=True)
class Variations:
    """All settings that were tried; ``notes`` say which switches there are not."""

    model: ModelSummary
    tolerance: Tolerance
    variations: tuple[Variation, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst outcome; settings that failed decide nothing, unless all did."""
        found = {one.outcome for one in self.variations} - {"failed"}
        if "diverged" in found:
            return "diverged"
        return "aligned" if found and "inconclusive" not in found else "inconclusive"

    @property
    def exit_code(self) -> int:
        """0 aligned, 1 diverged, 3 inconclusive."""
        return EXIT_CODES[self.verdict]
