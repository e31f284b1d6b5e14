"""A side that is known by statistics alone: what they prove, and what they cannot.

Where every element keeps the contract |c − r| ≤ atol + rtol·|r|, so do the extremes and the mean, against the largest
|r|, and the norm within its triangle inequality. Statistics that do not are proof of a difference; statistics that do
are proof of nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from aligner.adapters.dumps.dump import KnownStatistics
from aligner.adapters.dumps.session import DumpSession
from aligner.api.options import CompareOptions
from aligner.api.summary import SideWriter, coverage
from aligner.errors import listing
from aligner.execution.clock import Clock
from aligner.execution.side import Sides
from aligner.inputs import PreparedFeeds
from aligner.numerics.rounding import unit
from aligner.records.alignment import Alignment, PairedValues
from aligner.records.array import Array
from aligner.records.comparison import Comparison, Pair, PairVerdict, TensorStatistics, Tolerance, Verdict
from aligner.records.dataclass import dataclass

_AGREE = "its statistics agree, its elements were not compared"


@dataclass(frozen=True, slots=True)
class _Looked:
    pair: PairedValues
    told: KnownStatistics
    own: TensorStatistics
    beyond: str
    """What of the statistics breaks the contract; empty where nothing does."""


class StatisticsComparison:
    """One comparison of a model with the statistics of a run."""

    def __init__(self, sides: Sides, told: int, options: CompareOptions, clock: Clock) -> None:
        self._sides, self._told, self._options, self._clock = sides, told, options, clock

    def comparison(self, alignment: Alignment, fed: PreparedFeeds, notes: list[str]) -> Comparison:
        """The report; the sides' own tensors stream past once."""
        looked = {one.pair.candidate: one for one in self._looked(alignment)}
        beyond = [value for value, one in looked.items() if one.beyond]
        writers = SideWriter(self._sides[0]), SideWriter(self._sides[1])
        graph = self._sides[1].graph
        pairs = []
        for value, one in looked.items():
            earlier = (graph.ancestors([value]) - {value}) & set(beyond)
            word: PairVerdict = "incomparable" if not one.beyond else "inherited" if earlier else "introduced"
            pairs.append(self._written(writers, one, word))
        introduced = tuple(pair for pair in pairs if pair.verdict == "introduced")
        outputs = [pair for pair, value in zip(pairs, looked, strict=True) if value in graph.outputs]
        verdict, reason = _concluded(looked, pairs, outputs, introduced)
        return Comparison(
            verdict=verdict,
            reason=reason,
            reference=self._sides[0].summary(),
            candidate=self._sides[1].summary(),
            tolerance=Tolerance(self._options.atol, self._options.rtol, "statistics within the contract"),
            coverage=coverage(alignment),
            first_divergence=introduced[0] if verdict == "diverged" and introduced else None,
            introduced=introduced if verdict == "diverged" else (),
            causes=(),
            outputs=tuple(outputs),
            pairs=tuple(pairs),
            unpaired_reference=(),
            unpaired_candidate=(),
            inputs=fed.fed,
            notes=(*notes, f"the {self._sides[self._told].role} is known by statistics alone: places are estimates"),
            timing=self._clock.timing(),
            command=self._options.command,
            rule="statistics",
        )

    def _looked(self, alignment: Alignment) -> Iterator[_Looked]:
        session = self._sides[self._told].session
        assert isinstance(session, DumpSession)
        statistics: Mapping[str, KnownStatistics] = session.statistics
        ends = {pair.values[1 - self._told]: pair for pair in alignment.pairs}
        wanted = {value: pair for value, pair in ends.items() if pair.values[self._told] in statistics}
        values = self._sides[self._told].graph.values
        for tensor in self._sides[1 - self._told].run([*wanted]):
            pair = wanted.get(tensor.value)
            if pair is None or tensor.occurrence or tensor.array.dtype.kind not in "fiub":
                continue
            name = pair.values[self._told]
            yield self._look(pair, statistics[name], tensor.real(), values[name].dtype)

    def _look(self, pair: PairedValues, told: KnownStatistics, array: Array, dtype: str | None) -> _Looked:
        wide = np.asarray(array, np.float64)
        finite = wide[np.isfinite(wide)]
        nan, inf = int(np.isnan(wide).sum()), int(np.isinf(wide).sum())
        if not finite.size:
            return _Looked(pair, told, TensorStatistics(nan=nan, inf=inf), "")
        own = TensorStatistics(float(finite.mean()), float(finite.min()), float(finite.max()), nan=nan, inf=inf)
        norm = float(np.linalg.norm(finite))
        peak = max(abs(told.min or 0.0), abs(told.max or 0.0)) if self._told == 0 else float(np.abs(finite).max())
        rtol = max(self._options.rtol, 8 * unit(dtype) if unit(dtype) > unit("float32") else 0.0)
        limit = self._options.atol + rtol * peak
        norms = math.sqrt(finite.size) * self._options.atol + rtol * (norm if self._told else told.norm or 0.0)
        rows = (
            ("max", told.max, own.max, limit),
            ("min", told.min, own.min, limit),
            ("mean", told.mean, own.mean, limit),
            ("norm", told.norm, norm, norms),
        )
        words = [
            f"{word} {known:.6g}, here {here:.6g}"
            for word, known, here, most in rows
            if known is not None and here is not None and not abs(known - here) <= most and not (nan or inf)
        ]
        return _Looked(pair, told, own, "; ".join(words))

    def _written(self, writers: tuple[SideWriter, SideWriter], one: _Looked, word: PairVerdict) -> Pair:
        told = TensorStatistics(mean=one.told.mean, min=one.told.min, max=one.told.max)
        statistics = (told, one.own) if self._told == 0 else (one.own, told)
        return Pair(
            reference=writers[0].side(one.pair.reference, statistics[0]),
            candidate=writers[1].side(one.pair.candidate, statistics[1]),
            rule=one.pair.rule,
            confidence=one.pair.confidence,
            axes=one.pair.axes,
            verdict=word,
            accumulated=None,
            note=one.beyond or _AGREE,
            reference_nodes=writers[0].region_nodes(one.pair.reference_region),
            candidate_nodes=writers[1].region_nodes(one.pair.candidate_region),
        ).identified()


def _concluded(
    looked: Mapping[str, _Looked], pairs: list[Pair], outputs: list[Pair], introduced: tuple[Pair, ...]
) -> tuple[Verdict, str]:
    """Diverged where an output's statistics break the contract; nothing that they say is proof of agreement."""
    wrong = [pair for pair in outputs if pair.verdict != "incomparable"]
    first = f"; the first tensor whose statistics differ is {introduced[0].candidate.name}" if introduced else ""
    if wrong:
        told = listing(f"{pair.candidate.name} ({pair.note})" for pair in wrong)
        return "diverged", f"statistics of outputs that no run within the contract has: {told}{first}"
    if not looked:
        return "inconclusive", "no tensor of the dump answers one of the model, by name or place"
    beyond = sum(pair.verdict != "incomparable" for pair in pairs)
    if beyond:
        what = "the outputs' agree" if outputs else "it holds none of the outputs"
        return "inconclusive", f"statistics of {beyond} of {len(pairs)} tensors differ, {what}{first}"
    return (
        "inconclusive",
        f"statistics of {len(pairs)} tensors agree, and equal statistics are no proof of equal tensors: dump tensors",
    )
