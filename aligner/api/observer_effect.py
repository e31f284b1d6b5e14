"""Looking must not change what is seen: the untouched models' outputs against those of the observed runs.

Promoted outputs and taps keep a runtime from fusing nodes. Where only the untouched candidate is wrong, every node that
was looked at is innocent and the fused kernel is the suspect: that is a verdict of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from aligner.adapters.base import Feeds, OpenOptions
from aligner.adapters.registry import open_model
from aligner.diff.difference import difference
from aligner.errors import AlignerError
from aligner.execution.determinism import seed_everything
from aligner.execution.side import OpenSide
from aligner.judgement.precision import quantizes
from aligner.records.axis_order import to_reference
from aligner.records.comparison import Finding, Pair
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference
from aligner.records.measurement import Measured
from aligner.records.tensor import CapturedTensor

_WORSE = 10.0
"""An untouched output counts as wrong from so many times the observed one's error: less is rounding in another
order."""
_FLOOR = {"float16": 0.05, "bfloat16": 0.1}
"""Relative error below which fusion has only rounded differently: a hundred units of float16, two dozen of bfloat16."""
_PLAIN_FLOOR = 1e-3
"""Relative error of the untouched outputs below which fusion has only rounded differently."""
_FEW_BITS_FLOOR = 1.0
"""… in few bits, where kernels may lie steps apart at each node: nothing explains an error as large as the tensor."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """An output that is right while it is watched and wrong when it is not."""

    place: int
    pair: Pair
    finding: Finding


class ObserverEffect:
    """Holds both sides' untouched outputs until their pairs have been measured."""

    def __init__(self, reference: OpenSide, candidate: OpenSide) -> None:
        self._sides = reference, candidate
        self._untouched: list[dict[str, CapturedTensor]] = [{}, {}]

    def keep(self, side: OpenSide, outputs: Sequence[CapturedTensor]) -> None:
        """Remember a side's untouched outputs."""
        self._untouched[side is self._sides[1]] = {tensor.value: tensor for tensor in outputs}

    @property
    def kept(self) -> tuple[Mapping[str, CapturedTensor], Mapping[str, CapturedTensor]]:
        """The outputs of both sides as nobody looked at anything else, by value."""
        return self._untouched[0], self._untouched[1]

    def hidden(
        self, measured: Sequence[Measured], pairs: Sequence[Pair], target: object, options: OpenOptions
    ) -> list[Hidden]:
        """Outputs whose pair was judged innocent although the untouched candidate is wrong there.

        Where numbers change from run to run, the untouched run's differ for that reason.
        """
        if any(pair.verdict == "nondeterministic" for pair in pairs):
            return []
        found: list[Hidden] = []
        for place, (item, pair) in enumerate(zip(measured, pairs, strict=True)):
            error = self._untouched_error(item)
            if error is None or item.accumulated is None or pair.verdict not in {"aligned", "inherited"}:
                continue
            if error.relative <= max(self._floor(item), _WORSE * item.accumulated.relative):
                continue
            note = f"right when observed, off by {error.errors.max_abs:.3g} when not"
            wrong = replace(pair, verdict="introduced", accumulated=error.errors, note=note)
            found.append(Hidden(place, wrong, self._finding(item, pair, error, target, options)))
        return self._located(found, measured, pairs)

    def _located(self, found: list[Hidden], measured: Sequence[Measured], pairs: Sequence[Pair]) -> list[Hidden]:
        """In the place of outputs that are wrong, the part that makes them so, where it is found."""
        if not found:
            return found
        from aligner.api.hidden_region import find_hidden_region

        region = find_hidden_region(self._sides, measured, pairs, found[0].pair.candidate.node)
        if region is None:
            return found
        if region.place is None or region.pair is None:
            return [replace(one, finding=region.finding) for one in found]
        later = [
            replace(one, pair=replace(one.pair, verdict="inherited"), finding=region.finding)
            for one in found
            if one.place != region.place
        ]
        return [Hidden(region.place, region.pair, region.finding), *later]

    def _floor(self, item: Measured) -> float:
        if item.step is not None or any(quantizes(side.graph) for side in self._sides):
            return _FEW_BITS_FLOOR
        return max(_FLOOR.get(str(dtype), _PLAIN_FLOOR) for dtype in (item.candidate_dtype, item.reference_dtype))

    def _untouched_error(self, item: Measured) -> Difference | None:
        left, right = (side.get(v) for side, v in zip(self._untouched, _values(item), strict=True))
        if left is None or right is None:
            return None
        expected = left.real()
        moved = to_reference(right.real(), item.pair.axes, tuple(expected.shape))
        return None if moved is None else difference(expected, moved)

    def _finding(self, item: Measured, pair: Pair, error: Difference, target: object, options: OpenOptions) -> Finding:
        from aligner.causes.families.execution import plain_kernels

        assert item.accumulated is not None
        levels = self._levels(item, target, options)
        wrong = [level for level, relative in levels.items() if relative > error.relative / _WORSE]
        since = f"; wrong from graph optimisation level {wrong[0]!r} on" if wrong and len(wrong) < len(levels) else ""
        return Finding.of(
            identifier="fusion-or-kernel",
            node=pair.candidate.node,
            evidence_class="proven" if since else "suspected",
            evidence=(
                f"output {pair.candidate.name} of the untouched candidate is off by {error.errors.max_abs:.3g}, of the "
                f"observed one by {item.accumulated.errors.max_abs:.3g}: watching a tensor keeps the runtime from "
                f"fusing it away{since}"
            ),
            suggestion=(
                f"{plain_kernels(self._sides[1].graph.framework)}, or keep the fused nodes apart, and report the kernel"
            ),
        )

    def _levels(self, item: Measured, target: object, options: OpenOptions) -> Mapping[str, float]:
        """The relative error of the untouched candidate at each level of graph optimisation that its runtime has."""
        errors: dict[str, float] = {}
        kept = self._untouched[1]
        feeds: Feeds = self._sides[1].feeds
        for level in self._sides[1].session.capabilities.optimisations:
            try:
                session = open_model(target, replace(options, ort_optimization=level))
            except AlignerError:
                continue
            seed_everything(self._sides[1].seed)
            self._untouched[1] = {tensor.value: tensor for tensor in session.predict(feeds)}
            session.close()
            error = self._untouched_error(item)
            errors[level] = error.relative if error is not None else 0.0
        self._untouched[1] = kept
        return errors


def _values(item: Measured) -> tuple[str, str]:
    return item.pair.reference, item.pair.candidate
