"""The pairing of two models, held against what their tensors hold."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aligner.alignment.compatibility import agree
from aligner.api.matching import opened, paired
from aligner.api.options import CompareOptions
from aligner.execution.passes import Passes
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.measurement import Measured

RIGHT = 1e-3
"""RMSE, in parts of the reference's peak, up to which two tensors are the same one on a clean pair of models."""
_SMALLEST = 8


@dataclass(frozen=True, slots=True)
class Pairing:
    """``pairable``: the candidate's float tensors of which the reference holds the same numbers, up to their order."""

    pairs: Mapping[str, str]
    """Candidate value id → reference value id."""
    pairable: frozenset[str]
    missed: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    seconds: float = 0.0
    """Of the alignment alone."""
    values: int = 0
    lowest: float = 1.0
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """Pairable tensors that are paired."""
        return len(self.pairable) - len(self.missed)


def pairing(reference: Any, candidate: Any, feeds: dict[str, np.ndarray], *, measure: bool = True) -> Pairing:
    """Run both models and pair them; ``measure`` also compares every pair's tensors."""
    options = CompareOptions()
    with opened(reference, candidate, options) as sides:
        alignment, _ = paired(sides, feeds, options, run=True)
        profiles = [side.profile for side in sides]
        assert profiles[0] is not None and profiles[1] is not None
        start = time.perf_counter()
        _align_again(sides, alignment)
        seconds = time.perf_counter() - start
        pairs = {pair.candidate: pair.reference for pair in alignment.pairs}
        constants = {value for value, why in alignment.unpaired_candidate.items() if why == "constant"}
        pairable = _pairable(profiles[0].sketches, profiles[1].sketches) - constants
        producer = {value: node.op for node in sides[1].graph.nodes for value in node.outputs}
        missed = tuple(
            f"{sides[1].graph.values[value].name} ({producer.get(value, 'input')}): "
            f"{alignment.unpaired_candidate.get(value, '?')}"
            for value in profiles[1].sketches
            if value in pairable and value not in pairs
        )
        wrong: tuple[str, ...] = ()
        if measure:
            passes = Passes(*sides, alignment.pairs, 1e-5, 1e-5)
            passes.accumulated()
            wrong = tuple(_said(sides, item) for item in passes.measured.values() if not _right(item))
        return Pairing(
            pairs=pairs,
            pairable=frozenset(pairable),
            missed=missed,
            wrong=wrong,
            seconds=seconds,
            values=len(profiles[1].sketches),
            lowest=min((pair.confidence for pair in alignment.pairs), default=1.0),
        )


def _align_again(sides: Any, alignment: Any) -> None:
    """The alignment once more, for its time: the first one also read the weights from disk."""
    from aligner.alignment.engine import align

    given = [(pair.reference, pair.candidate) for pair in alignment.pairs if pair.rule == "input"]
    align(
        sides[0].graph,
        sides[1].graph,
        reference_sketches=sides[0].profile.sketches,
        candidate_sketches=sides[1].profile.sketches,
        inputs=given,
    )


def _pairable(reference: Mapping[str, Sketch], candidate: Mapping[str, Sketch]) -> set[str]:
    by_size: dict[int, list[Sketch]] = defaultdict(list)
    for sketch in reference.values():
        by_size[sketch.size].append(sketch)
    return {
        value
        for value, sketch in candidate.items()
        if sketch.dtype.replace("torch.", "").startswith(("float", "bfloat"))
        and sketch.size >= _SMALLEST
        and any(agree(other, sketch) for other in by_size.get(sketch.size, ()))
    }


def _right(item: Measured) -> bool:
    numbers, other = item.reference_statistics, item.candidate_statistics
    peak = max(abs(numbers.min or 0.0), abs(numbers.max or 0.0), 1e-9)
    alike = (numbers.nan, numbers.inf) == (other.nan, other.inf)
    return alike and item.accumulated is not None and item.accumulated.errors.rmse <= RIGHT * peak


def _said(sides: Any, item: Measured) -> str:
    pair: PairedValues = item.pair
    names = [side.graph.values[value].name for side, value in zip(sides, (pair.reference, pair.candidate), strict=True)]
    gap = "not comparable" if item.accumulated is None else f"rmse {item.accumulated.errors.rmse:.3g}"
    return (
        f"{names[0]} {item.reference_shape} | {names[1]} {item.candidate_shape}: "
        f"{pair.rule} {pair.confidence}, axes {pair.axes}, {gap}"
    )
