"""What would put one culprit right, in its file: single patches, and all that are to be tried."""

from __future__ import annotations

from aligner.adapters.rewriting import Edit
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """Edits of the candidate's file that put one paired tensor right.

    ``value`` is that tensor, ``node`` the one a user should open, ``words`` what is done: "with pads ((1, 1), (1, 1))
    instead of ((0, 2), (0, 2))".
    """

    value: str
    node: str
    words: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The patches of one culprit, in the order in which they are to be tried.

    ``proven``: a cause was; else they are a guess, which only a comparison can bear out.
    """

    value: str
    node: str
    proven: bool
    patches: tuple[Patch, ...]
    source: str | None = None
