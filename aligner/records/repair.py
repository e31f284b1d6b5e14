"""What was done to put a candidate's file right."""

from __future__ import annotations

from dataclasses import field

from aligner.records.comparison import Verdict
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class AppliedPatch:
    """One culprit put right: the node, what was done, and the lines of the file's graph that changed."""

    node: str
    words: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unrepaired:
    """A culprit that no edit of the file puts right: what to change where the model is exported.

    ``why`` says what stood in the way; ``source`` is the line of the model's own code, where it is known.
    """

    node: str
    why: str
    suggestion: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """The whole answer: ``written`` is None where the file is not right, or was not to be written.

    ``before`` and ``after`` are the verdicts, ``errors`` the largest errors of the outputs then and now.
    """

    reference: str
    candidate: str
    written: str | None
    before: Verdict
    after: Verdict
    errors: tuple[float | None, float | None]
    patches: tuple[AppliedPatch, ...] = ()
    left: tuple[Unrepaired, ...] = ()
    rounds: int = 0
    dry_run: bool = False
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_code(self) -> int:
        """0: the outputs hold the contract now, 1 where they do not, 3 inconclusive."""
        return {"aligned": 0, "diverged": 1, "inconclusive": 3}[self.after]
