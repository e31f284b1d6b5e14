"""A pair with everything that was measured of it, before anyone judged it."""

from __future__ import annotations

from dataclasses import field

from aligner.records.alignment import PairedValues
from aligner.records.comparison import TensorStatistics
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference


@dataclass(frozen=True, slots=True)
class Noise:
    """What rounding alone does to a tensor: its change when everything injected moves by one rounding unit.

    ``share`` is the share of elements that changed at all, ``unmasked`` the change beside a mask. ``unexplained`` is
    the largest local error of elements that rounding leaves where they are; None where the response is no step's, so
    that the largest change speaks for every element.
    """

    max_abs: float
    share: float
    unmasked: float | None = None
    unexplained: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """A pair's two tensors and their differences; shapes and dtypes as at run time."""

    pair: PairedValues
    reference_shape: tuple[int, ...] | None
    candidate_shape: tuple[int, ...] | None
    reference_dtype: str | None
    candidate_dtype: str | None
    accumulated: Difference | None = None
    local: Difference | None = None
    noise: Noise | None = None
    step: float | None = None
    """The quantisation step of the coarser side; None for float tensors."""
    saturated: float = 0.0
    """Share of the reference's elements outside what the candidate's quantisation can hold; they are clipped before
    the local error is taken."""
    clipping_shows: bool | None = None
    """Whether the outputs show that the range is too small; None where they were not asked."""
    fed_alike: bool = False
    """The local error is that of two nodes fed alike, although a range cuts off what the candidate's reads."""
    reference_statistics: TensorStatistics = field(default_factory=TensorStatistics)
    candidate_statistics: TensorStatistics = field(default_factory=TensorStatistics)
    tied: bool = False
    """The two sides' places differ, and what stands there is equal."""
