"""What a decoder does step by step: the prompt at once, then one token after another with its cache fed back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from aligner.records.array import Array
from aligner.records.dataclass import dataclass

Phase = Literal["prefill", "decode"]
StepVerdict = Literal["aligned", "diverged", "inconclusive"]


@dataclass(frozen=True, slots=True)
class Step:
    """One run of both models on the same tokens: ``fed`` of them, after ``past`` that their caches hold.

    ``token`` is the one that the reference finds likeliest next, ``same_token`` whether the candidate does too.
    ``layer`` and ``node`` say where the first divergence is. ``error``: the largest of the outputs.
    """

    index: int
    phase: Phase
    past: int
    fed: int
    verdict: StepVerdict
    token: int | None = None
    same_token: bool | None = None
    layer: str | None = None
    node: str | None = None
    error: float | None = None


@dataclass(frozen=True, slots=True)
class ChannelOrder:
    """How the candidate lays out a cache: the reference's last axis in the order ``channels``, then its ``axes``."""

    axes: tuple[int, ...]
    channels: tuple[int, ...]

    def to_candidate(self, reference: Array) -> Array:
        """The reference's cache as the candidate holds it."""
        moved: Array = reference.take(self.channels, -1).transpose(self.axes)
        return moved

    def to_reference(self, candidate: Array) -> Array:
        """The candidate's cache as the reference holds it."""
        back = sorted(range(len(self.axes)), key=self.axes.__getitem__)
        places = sorted(range(len(self.channels)), key=self.channels.__getitem__)
        moved: Array = candidate.transpose(back).take(places, -1)
        return moved


@dataclass(frozen=True, slots=True)
class HandedOn:
    """Names of both sides' outputs that the next step is fed, and how many positions the model has seen with this one.

    A cache with room for more holds them first, or last where it is moved along; one with fewer holds the last of them.
    ``orders``, by the candidate's name, are of those whose channels lie in another order: no fault by itself, as the
    model alone reads them.
    """

    pairs: tuple[tuple[str, str], ...] = ()
    positions: int = 0
    orders: Mapping[str, ChannelOrder] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerErrors:
    """The pairs of one layer ("layers.3", or "" for what stands outside of any): how many, how many err, how far."""

    layer: str
    pairs: int
    introduced: int
    local: float | None = None
    accumulated: float | None = None
