"""How much each node's own noise costs at the outputs of a coarser twin."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Literal

from aligner.records.comparison import ModelSummary
from aligner.records.dataclass import dataclass
from aligner.records.document_field import WHEN_SET

_CHANCE = 0.05
"""How probable a share that large may be where nothing but chance spreads the shares, for a node to stand out."""
_TOLD = 2.0**-16
"""Share from which on a node takes part: the squared noise of float32 and of 8 bits are 2⁻³² apart, half of it each."""
_MOST = 0.5
"""A node that costs more than all others together stands out, however few there are."""


@dataclass(frozen=True, slots=True)
class SensitiveNode:
    """A pair of tensors whose local noise reaches the outputs.

    ``noise`` is the RMS of what the candidate's node does wrong by itself over the RMS of the reference's tensor, and
    ``clipped`` the share of its energy in elements beyond what the tensor can hold. ``effect`` is the relative RMS
    error of the outputs where the reference has this node's noise and no other, ``share`` its part of all energy.
    ``restored`` is the error of the candidate's outputs without this node's noise, None where it was not tried.
    """

    reference: str
    candidate: str
    op: str
    reference_nodes: tuple[str, ...]
    candidate_nodes: tuple[str, ...]
    scope: str | None
    noise: float
    clipped: float
    effect: float
    share: float = 0.0
    restored: float | None = field(default=None, metadata=WHEN_SET)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """Nodes by what they cost, the dearest first; ``error`` is the relative RMS error of the candidate's outputs.

    ``sum`` is what the effects of all nodes make together if they do not know of each other; ``unmeasured`` counts the
    pairs with noise that there was no room or time for.
    """

    reference: ModelSummary
    candidate: ModelSummary
    error: float
    sum: float
    nodes: tuple[SensitiveNode, ...]
    unmeasured: int = 0
    notes: tuple[str, ...] = ()

    @property
    def spread(self) -> Literal["nodes", "depth", "none"]:
        """Whether single nodes cost most of it, or all of them a little: then it is the depth.

        Where chance alone spreads n shares, one is above x with a probability of at most n·(1 − x)^(n − 1).
        """
        taking = [node.share for node in self.nodes if node.share >= _TOLD]
        if not taking:
            return "none"
        most, count = max(taking), len(taking)
        return "nodes" if most > _MOST or count * (1 - most) ** (count - 1) < _CHANCE else "depth"

    @property
    def curve(self) -> tuple[float, ...]:
        """The error that is left with the first 0, 1, 2 … nodes restored, if their noises do not know of each other."""
        left, found = 1.0, [self.error]
        for node in self.nodes:
            left -= node.share
            found.append(self.error * math.sqrt(max(left, 0.0)))
        return tuple(found)

    @property
    def halving(self) -> int:
        """How many nodes have to be restored for half of the error; 0 where there is none."""
        return next((count for count, left in enumerate(self.curve) if left <= self.error / 2), len(self.nodes))
