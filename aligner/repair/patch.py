"""What would put one culprit right, in its file."""

from __future__ import annotations

from dataclasses import dataclass

from aligner.adapters.rewriting import Edit


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
