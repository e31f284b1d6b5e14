"""Named rules: each looks at typed facts and has an opinion or none; the first opinion decides, all are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from aligner.records.opinion import Opinion

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Facts]):
    """``doc`` is the sentence of ``docs/verdicts.md``; ``says`` gives (verdict, why, margin) or None."""

    id: str
    doc: str
    says: Callable[[Facts], tuple[str, str, float | None] | None]

    def apply(self, facts: Facts) -> Opinion | None:
        """The rule's opinion of these facts."""
        said = self.says(facts)
        return None if said is None else Opinion(said[0], self.id, said[1], said[2])


def opinions(rules: Sequence[Rule[Facts]], facts: Facts) -> list[Opinion]:
    """Every opinion in the order of the rules; the first one decides."""
    return [opinion for rule in rules if (opinion := rule.apply(facts)) is not None]
