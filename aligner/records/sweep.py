"""What two models do over many inputs: every sample's verdict, every pair's errors as a distribution that merges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from itertools import pairwise
from math import ceil, isfinite, log, sqrt
from typing import Literal

from aligner.records.comparison import EXIT_CODES, ModelSummary, Tolerance, Verdict
from aligner.records.dataclass import dataclass
from aligner.records.document_field import WHEN_SET

Stability = Literal["stable", "sample-dependent", "drifting"]

ACCURACY = 0.01
"""Relative error of a quantile."""
_GROWTH = (1 + ACCURACY) / (1 - ACCURACY)
_DRIFTS = 4.0
"""Standard deviations of Kendall's tau under no trend: 3 in 100,000 orders of equal samples come this far."""
_FEWEST = 10
"""Samples from which tau is near enough to normal (Kendall, Rank Correlation Methods, 4th ed., 4.8)."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Errors counted by their size, so that quantiles have a relative error of 1 % and two counts add up exactly.

    A DDSketch (Masson, Rim, Lee, VLDB 2019): a positive number falls into the bin ceil(log(number) / log(growth)).
    """

    zeros: int = 0
    nonfinite: int = 0
    bins: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Distribution) -> Distribution:
        bins = dict(self.bins)
        for key, many in other.bins.items():
            bins[key] = bins.get(key, 0) + many
        if len(bins) > len(self.bins):
            bins = {key: bins[key] for key in sorted(bins, key=int)}
        return Distribution(self.zeros + other.zeros, self.nonfinite + other.nonfinite, bins)

    @property
    def count(self) -> int:
        """How many numbers were counted."""
        return self.zeros + self.nonfinite + sum(self.bins.values())

    def quantile(self, share: float) -> float:
        """The number below which that share lies; infinity where it falls among those that are not finite."""
        rank = share * (self.count - 1)
        below = self.zeros
        if rank < below:
            return 0.0
        for key, many in self.bins.items():
            below += many
            if rank < below:
                return float(2 * _GROWTH ** int(key) / (_GROWTH + 1))
        return float("inf") if self.nonfinite else 0.0


def distribution(numbers: Iterable[float]) -> Distribution:
    """The numbers, none of them below zero, counted."""
    found = Distribution()
    for number in numbers:
        if not isfinite(number):
            found += Distribution(nonfinite=1)
        elif number <= 0:
            found += Distribution(zeros=1)
        else:
            found += Distribution(bins={str(ceil(log(number) / log(_GROWTH))): 1})
    return found


@dataclass(frozen=True, slots=True)
class Agreement:
    """An output as its user reads it, each measure by its name: "argmax", share of rows whose largest element is at the
    same place; "top-5", mean share of the five largest that both have; "iou", of a map of labels, the mean over them of
    intersection over union; "boxes", the same of boxes matched one to one; "psnr" in dB of the reference's range.

    ``without``: why some could not be told, "of another shape" or "not finite"."""

    output: str
    measures: Mapping[str, float] = field(default_factory=dict)
    without: str = field(default="", metadata=WHEN_SET)


@dataclass(frozen=True, slots=True)
class SampleResult:
    """One input: its place in the set, what was concluded, the worst output's error, the first node that errs."""

    index: int
    name: str
    verdict: Verdict
    reason: str | None = None
    output_error: float | None = None
    first: str | None = None
    agreements: tuple[Agreement, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedSample:
    """An input that could not be read."""

    index: int
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class NodeErrors:
    """One pair over all samples; ``errors`` are the max abs errors, local ones where they were measured."""

    reference: str
    candidate: str
    op: str
    place: int
    errors: Distribution
    introduced: int = 0
    worst: float = 0.0
    worst_sample: int = 0

    def __add__(self, other: NodeErrors) -> NodeErrors:
        more = other if (-other.worst, other.worst_sample) < (-self.worst, self.worst_sample) else self
        return NodeErrors(
            self.reference,
            self.candidate,
            self.op,
            min(self.place, other.place),
            self.errors + other.errors,
            self.introduced + other.introduced,
            more.worst,
            more.worst_sample,
        )


@dataclass(frozen=True, slots=True)
class Sweep:
    """Two models over a set of inputs. Sweeps over parts of a set add up to the sweep over the whole, bit for bit.

    ``agreement``: the measures that were chosen; none: those that fit each output. ``settings``: what else was asked
    for and an answer depends on, where it is not what is done by default.
    """

    reference: ModelSummary
    candidate: ModelSummary
    tolerance: Tolerance
    total: int
    agreement: tuple[str, ...] = ()
    samples: tuple[SampleResult, ...] = ()
    skipped: tuple[SkippedSample, ...] = ()
    nodes: tuple[NodeErrors, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    def __add__(self, other: Sweep) -> Sweep:
        """Both parts. Raises ValueError where a sample is in both."""
        seen = self if self.samples or not other.samples else other
        samples = [*self.samples, *other.samples]
        if self.samples and other.samples and self.samples[-1].index >= other.samples[0].index:
            samples.sort(key=lambda one: one.index)
            if any(one.index == following.index for one, following in pairwise(samples)):
                raise ValueError("two parts hold the same sample")
        skipped = {one.index: one for one in (*other.skipped, *self.skipped)}
        return replace(
            seen,
            samples=tuple(samples),
            skipped=tuple(skipped[index] for index in sorted(skipped)),
            nodes=_added(self.nodes, other.nodes),
        )

    @property
    def verdict(self) -> Verdict:
        """The worst of the samples' verdicts."""
        found = {sample.verdict for sample in self.samples}
        return "diverged" if "diverged" in found else "aligned" if found == {"aligned"} else "inconclusive"

    @property
    def left(self) -> int:
        """Samples of the set that are not among these: those of other parts, or of a sweep that was interrupted."""
        return max(0, self.total - len(self.samples) - len(self.skipped))

    @property
    def exit_code(self) -> int:
        """0 aligned, 1 diverged, 3 inconclusive."""
        return EXIT_CODES[self.verdict]

    @property
    def breaking(self) -> tuple[SampleResult, ...]:
        """The samples that diverge, the worst first."""
        return tuple(sorted((one for one in self.samples if one.verdict == "diverged"), key=_badness))

    @property
    def stability(self) -> Stability:
        """Whether all samples say the same; "drifting" where errors grow or shrink along the set."""
        if len({(one.verdict, one.first) for one in self.samples}) <= 1 and not self._drifts():
            return "stable"
        return "drifting" if self._drifts() else "sample-dependent"

    def _drifts(self) -> bool:
        """Kendall's tau of the outputs' errors along the set; only where an error is beyond what is allowed."""
        found = (one.output_error for one in self.samples)
        errors = [error for error in found if error is not None and isfinite(error)]
        many = len(errors)
        if many < _FEWEST or self.verdict != "diverged":
            return False
        return abs(_rises(errors)) / sqrt(many * (many - 1) * (2 * many + 5) / 18) > _DRIFTS


def _rises(numbers: Sequence[float]) -> int:
    """Pairs of which the later is larger, less those of which it is smaller (Kendall's S), by a tree of counts."""
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)), 1)}
    tree = [0] * (len(ranks) + 1)

    def up_to(rank: int) -> int:
        many = 0
        while rank:
            many += tree[rank]
            rank &= rank - 1
        return many

    found = 0
    for seen, rank in enumerate(ranks[number] for number in numbers):
        found += up_to(rank - 1) + up_to(rank) - seen
        while rank < len(tree):
            tree[rank] += 1
            rank += rank & -rank
    return found


def _badness(sample: SampleResult) -> tuple[float, int]:
    error = sample.output_error
    return (-error if error is not None and isfinite(error) else -float("inf"), sample.index)


def _added(ours: tuple[NodeErrors, ...], theirs: tuple[NodeErrors, ...]) -> tuple[NodeErrors, ...]:
    found: dict[tuple[str, str], NodeErrors] = {}
    for node in (*ours, *theirs):
        key = node.reference, node.candidate
        found[key] = found[key] + node if key in found else node
    return tuple(sorted(found.values(), key=lambda node: (node.place, node.candidate, node.reference)))
