"""What running a side more than once has shown of it, as facts; the sentences beside them are for people."""

from __future__ import annotations

from aligner.records.dataclass import dataclass


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


@dataclass(frozen=True, slots=True)
class Observations:
    """What runs have shown of either side."""

    unsteady: tuple[UnsteadyNode, ...] = ()
    changed: tuple[ObservedDifference, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Observations) -> Observations:
        """With what another run has shown."""
        unsteady = tuple(dict.fromkeys(self.unsteady + other.unsteady))
        return Observations(unsteady, self.changed + other.changed, self.notes + other.notes)
