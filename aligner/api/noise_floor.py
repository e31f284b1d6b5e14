"""The noise floor: what is random on either side, and which side is nearer to the reference computed in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from aligner.adapters.base import Session, widened
from aligner.adapters.lazy_injection import LazyInjection
from aligner.errors import AlignerError
from aligner.execution.passes import Passes
from aligner.execution.pool import TensorPool
from aligner.execution.repetition import unsteady, varying_nodes
from aligner.execution.side import OpenSide
from aligner.judgement.ill_conditioned import nearer
from aligner.judgement.judgement import Judgement
from aligner.judgement.outputs import AS_FAR
from aligner.judgement.verdicts import in_doubt
from aligner.records import progress
from aligner.records.array import Array
from aligner.records.comparison import GUILTY, NoiseFloor, Pair
from aligner.records.measurement import Measured


@dataclass(slots=True)
class Floor:
    """What was measured; ``notes`` say what is random and why float64 was out of reach."""

    floors: dict[str, NoiseFloor] = field(default_factory=dict)
    """Candidate value → both sides' distances from float64, each side on its own tensors."""
    local: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Candidate value → the distances (reference, candidate) of a doubtful node, its inputs held equal."""
    unsteady: frozenset[tuple[int, int]] = frozenset()
    """(side, node index) of what another seed changes although nothing that it reads changes."""
    notes: list[str] = field(default_factory=list)
    telling: bool = True
    """Whether distances from float64 say anything of the whole: not of a model that is meant to be coarser."""

    def excuses(self) -> dict[str, str]:
        """Doubtful nodes that are as near to float64 as the reference's own, and the words that say so."""
        return {
            value: f"as near to float64 as the reference: off by {found:.2g}, the reference by {expected:.2g}"
            for value, (expected, found) in self.local.items()
            if found <= AS_FAR * expected
        }

    def written(self, measured: Sequence[Measured], pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs, with their floors."""
        known = [self.floors.get(item.pair.candidate) for item in measured]
        return [
            pair if floor is None else replace(pair, floor=floor, noise=floor.reference)
            for pair, floor in zip(pairs, known, strict=True)
        ]


def is_wanted(
    asked: bool | None, measured: Sequence[Measured], judgements: Sequence[Judgement], *, doubtful: bool
) -> bool:
    """Whether to measure: as the user asked, else in doubt; ``doubtful`` says that of the outputs."""
    if asked is not None:
        return asked
    guilty = [pair for pair in zip(measured, judgements, strict=True) if pair[1].verdict in GUILTY]
    return all(in_doubt(*pair) for pair in guilty) if guilty else doubtful


def measure(
    reference: OpenSide,
    candidate: OpenSide,
    passes: Passes,
    measured: Sequence[Measured],
    judgements: Sequence[Judgement],
) -> Floor:
    """Run both sides again with another seed, and the reference in float64 where it can be."""
    floor = Floor()
    random = varying_nodes(reference), varying_nodes(candidate)
    for side, found in zip((reference, candidate), random, strict=True):
        floor.notes += unsteady(side, found).notes
    floor.unsteady = frozenset((side, node.index) for side in (0, 1) for node in random[side])
    try:
        wide = widened(reference.session)
    except AlignerError as error:
        floor.notes.append(f"no float64 to compare with: {error.what} ({error.found})")
        return floor
    frozen = {value for node in random[0] for value in node.outputs}
    doubtful = [item for item, judgement in zip(measured, judgements, strict=True) if in_doubt(item, judgement)]
    try:
        _accumulated(floor, wide, reference, passes, frozen)
        _local(floor, wide, reference, passes, doubtful)
    except AlignerError as error:
        floor.notes.append(f"float64 went no further: {error.what} ({error.found})")
    finally:
        wide.close()
    return floor


def _accumulated(floor: Floor, wide: Session, reference: OpenSide, passes: Passes, frozen: set[str]) -> None:
    """Both sides as they run by themselves; the reference's random numbers are put in the wide one's place."""
    progress.enter("reference", "running in float64", reference.path)
    drawn = {tensor.value: tensor.array for tensor in reference.replay(sorted(frozen))} if frozen else {}
    wanted = passes.computed()
    uses = Counter(pair.reference for pair in wanted.values())
    pool = TensorPool(wide.run(reference.feeds, set(uses) | set(drawn), drawn or None), uses)
    try:
        for value, expected, found in passes.tensors(list(wanted), local=False):
            truth = pool.get(wanted[value].reference)
            if truth is not None and value not in floor.floors and expected.dtype.kind == "f":
                distances = _distance(expected, truth.array), _distance(found, truth.array)
                floor.floors[value] = NoiseFloor(*distances, nearer=nearer(*distances))
            pool.release(wanted[value].reference)
    finally:
        pool.close()


def _local(floor: Floor, wide: Session, reference: OpenSide, passes: Passes, doubtful: Sequence[Measured]) -> None:
    """Doubtful nodes: the reference's own in float64, fed with the reference's tensors as the candidate's was."""
    wanted = {item.pair.candidate: item.pair.reference for item in doubtful}
    if not wanted:
        return
    inputs = {value for item in doubtful for value in item.pair.reference_region.inputs}
    fed = TensorPool(reference.replay(sorted(inputs)), Counter(inputs))
    stream = wide.run(reference.feeds, set(wanted.values()), LazyInjection(inputs, lambda value: _own(fed, value)))
    pool = TensorPool(stream, Counter(wanted.values()))
    try:
        for value, expected, found in passes.tensors(list(wanted), local=True):
            truth = pool.get(wanted[value])
            if truth is not None:
                floor.local[value] = _distance(expected, truth.array), _distance(found, truth.array)
    finally:
        pool.close()
        fed.close()


def _own(pool: TensorPool, value: str) -> Array:
    """The reference's own tensor, read as a wide run of it comes to it."""
    tensor = pool.get(value)
    if tensor is None:
        raise KeyError(value)
    return tensor.array


def _distance(found: Array, truth: Array) -> float:
    """The largest difference over what is finite on both sides; infinite where nothing can be compared."""
    if found.shape != truth.shape:
        return float("inf")
    with np.errstate(all="ignore"):
        apart = np.abs(found.astype(np.float64) - truth)
    finite = apart[np.isfinite(apart)]
    return float(finite.max()) if finite.size else 0.0
