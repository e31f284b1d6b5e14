"""What a right answer is, written down when the fault is planted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Blame = Literal["node", "input", "outputs", "nobody"]


@dataclass(frozen=True, slots=True)
class Truth:
    """``exact`` and ``near`` are value names of the candidate, ``scopes`` module paths ("layer1.conv" or
    "layer1.conv:mul" for one kind of operation there). ``second`` is the other fault's ``exact`` where two
    were planted. ``random``: the candidate disagrees with itself, which may be answered instead of a divergence. Empty
    ``causes`` mean that the cause is not scored.
    """

    blame: Blame
    exact: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    near_scopes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    random: bool = False
    planted: str = ""
