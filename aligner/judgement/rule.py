"""Named rules: each looks at typed facts and has an opinion or none; the first opinion decides, all are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from aligner.records.dataclass import dataclass
from aligner.records.opinion import Opinion

Facts = TypeVar("Facts")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Facts]):
    """``doc`` is the sentence of ``docs/verdicts.md``; ``says`` gives (verdict, why, margin) or None."""

    id: str
    doc: str
    says: Callable[[Facts], tuple[str, str, float | None] | None]


def opinions(rules: Sequence[Rule[Facts]], facts: Facts) -> list[Opinion]:
    """Every opinion in the order of the rules; the first one decides."""
    said = ((rule, rule.says(facts)) for rule in rules)
    return [Opinion(words[0], rule.id, words[1], words[2]) for rule, words in said if words is not None]
