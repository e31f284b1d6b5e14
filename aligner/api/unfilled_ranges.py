"""Quantised ranges that a model's numbers hardly fill, and how near its outputs come with finer steps there.

Such a range is that of other numbers, by a fault or because the input is none of the kind that it was made with; a
comparison cannot tell which. The same model, handed on the numbers that it rounds to those steps, tells what they cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from aligner.execution.output_answers import OutputAnswer
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.judgement.whole_facts import Unfilled
from aligner.records.axis_order import to_reference
from aligner.regions.culprit import distance
from aligner.regions.inner_tensors import CODES, is_given, range_of

_FILLED = 32.0
"""Steps, of 255, from which nothing is asked. With one range eight times too wide, outputs are off by up to 3.5 times
the error that the right one left, and by less than three times in nine of ten places; with four times, by 2.5 at most
(``benchmarks.properties.few_bits``)."""
_LEFT = 0.5
"""Share of its error that an output keeps without what such ranges cost, where that is the greater part: 0.58 if it is
twice as much as all else, 0.32 if three times."""


@dataclass(frozen=True, slots=True)
class UnfilledRanges:
    """Asks one comparison that has found no node guilty."""

    sides: tuple[OpenSide, OpenSide]
    passes: Passes

    def found(self, answers: Sequence[OutputAnswer]) -> Unfilled | None:
        """Ranges hardly filled, where they make up most of an output's error; one more run where there are any."""
        broken = [one.candidate for one in answers if one.paired and one.error is not None and not one.agrees]
        known = [value for value in broken if value in self.passes.measured]
        for side in (0, 1) if known else ():
            ranges = list(self._unfilled(self.sides[side])) if self.sides[side].session.capabilities.can_inject else []
            left = self._left(side, {read: exact for read, exact, _ in ranges}, known) if ranges else 1.0
            if left < _LEFT:
                names = dict.fromkeys(self.sides[side].graph.values[read].name for read, _, _ in ranges)
                return Unfilled(next(iter(names)), len(names) - 1, ranges[0][2], left)
        return None

    def _unfilled(self, side: OpenSide) -> Iterator[tuple[str, str, float]]:
        """What reads numbers back from a range that they and zero hardly fill, those numbers, the steps filled."""
        graph, sketches = side.graph, side.profile.sketches if side.profile is not None else {}
        for node in graph.nodes:
            held = range_of(graph, node.outputs[0]) if node.kind == "quantize" else None
            seen = sketches.get(node.inputs[0]) if held is not None else None
            if held is None or seen is None or held.codes != CODES or is_given(graph, node.outputs[0], held):
                continue
            steps = (max(seen.max, 0.0) - min(seen.min, 0.0)) / held.step
            if 0 < steps < _FILLED and node.outputs[0] not in graph.outputs:
                readers = graph.readers(node.outputs[0])
                if all(reader.kind == "dequantize" for reader in readers):
                    yield from ((reader.outputs[0], node.inputs[0], steps) for reader in readers)

    def _left(self, side: int, exact: dict[str, str], outputs: list[str]) -> float:
        """The least share of its error that an output keeps where finer numbers are handed on; 1 where unknown."""
        kept = {one: arrays for one, *arrays in self.passes.tensors(outputs, local=False)}
        pairs = {pair.values[side]: pair for one in outputs if (pair := self.passes.measured[one].pair)}
        finer = {one.value: one.real() for one in self.sides[side].replay([*exact.values()])}
        if not finer.keys() >= set(exact.values()) or any(array.dtype.kind != "f" for array in finer.values()):
            return 1.0
        fed = {read: finer[value] for read, value in exact.items()}
        shares = [1.0]
        for one in self.sides[side].run([*pairs], fed, phase="looking into ranges"):
            pair = pairs[one.value]
            if pair.candidate not in kept or one.value in fed:
                continue
            own, other = kept[pair.candidate][side], kept[pair.candidate][1 - side]
            held = to_reference(one.real(), pair.axes if side else None, tuple(own.shape))
            before = distance(own, other)
            if held is not None and np.isfinite(before) and before > 0:
                shares.append(distance(held, other) / before)
        return min(shares)
