"""What a culprit is made of on both sides: its region's nodes, their settings, their weights, and what differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from aligner.records.dataclass import dataclass
from aligner.records.preview import Picture


@dataclass(frozen=True, slots=True)
class RegionNode:
    """A node as its model spells it; attributes and weights as text: ``"strides": "1, 1"``."""

    name: str
    op: str
    kind: str
    scope: str | None = None
    source: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of two nodes that answer each other, in words that both frameworks share, defaults filled in.

    None where a side does not say.
    """

    nodes: tuple[str, str]
    name: str
    reference: str | None
    candidate: str | None
    differs: bool


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """One side's parameter: its name in the file, its shape in the layout that both sides share, its numbers."""

    name: str
    shape: tuple[int, ...]
    mean: float | None
    std: float | None
    min: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class WeightPictures:
    """A weight of both sides on one scale, and |candidate − reference|; ``tiles`` says what rows and columns are."""

    reference: Picture
    candidate: Picture
    difference: Picture
    tiles: str


@dataclass(frozen=True, slots=True)
class WeightComparison:
    """One parameter of two nodes that answer each other.

    ``relative`` is ‖candidate − reference‖ / ‖reference‖, ``correlation`` Pearson's; None where shapes do not fit.
    """

    nodes: tuple[str, str]
    role: str
    reference: WeightFacts
    candidate: WeightFacts
    max_abs: float | None
    relative: float | None
    correlation: float | None
    differs: bool
    pictures: WeightPictures | None = None


@dataclass(frozen=True, slots=True)
class Dissection:
    """One culprit; ``pair`` is its position among the comparison's pairs."""

    pair: int
    reference: tuple[RegionNode, ...]
    candidate: tuple[RegionNode, ...]
    settings: tuple[Setting, ...] = ()
    weights: tuple[WeightComparison, ...] = ()
