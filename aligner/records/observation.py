"""What running a side more than once has shown of it, as facts; the sentences beside them are for people."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class UnsteadyNode:
    """A node that gives other numbers from run to run although what it reads stays as it was; sides are 0 and 1."""

    side: int
    index: int


@dataclass(frozen=True, slots=True)
class ObservedDifference:
    """An output that changed because tensors were looked at, and the words for it."""

    side: int
    output: str
    words: str


@dataclass(slots=True)
class Observations:
    """All that was seen of both sides."""

    unsteady: list[UnsteadyNode] = field(default_factory=list)
    changed: list[ObservedDifference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, other: Observations) -> None:
        """Take in what another run has shown."""
        self.unsteady += [node for node in other.unsteady if node not in self.unsteady]
        self.changed += other.changed
        self.notes += other.notes
