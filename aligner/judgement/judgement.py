"""What is judged of one pair."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from aligner.records.comparison import PairVerdict
from aligner.records.dataclass import dataclass
from aligner.records.opinion import Opinion


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of one pair, the bound it was held against, a remark where one is due, and the rule that decided.

    ``opinions`` are those of all rules, the deciding one first; ``together`` are the candidate values of the region
    that was judged as one with it; ``within`` is the node that errs, and what it does, where a rule knows it.
    """

    verdict: PairVerdict
    bound: float | None = None
    note: str | None = None
    rule: str = "beyond-bound"
    opinions: tuple[Opinion, ...] = ()
    together: tuple[str, ...] = ()
    within: tuple[str, str] | tuple[str, str, str | None] | None = None

    def overruled(self, verdict: PairVerdict, rule: str, note: str | None = None) -> Judgement:
        """Another verdict, by a rule that looks at the neighbours; what was said before is kept."""
        opinion = Opinion(verdict, rule, note or "", None)
        return replace(self, verdict=verdict, note=note, rule=rule, opinions=(opinion, *self.opinions))

    def together_with(self, values: Collection[str]) -> Judgement:
        """The same verdict on a region of which no smaller part can be told to be the wrong one."""
        return replace(self, together=tuple(sorted(values)))
