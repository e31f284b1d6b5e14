"""The candidate run once more on the reference's tensors: with some pairs left out, or with one more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from aligner.execution.passes import Passes, laid_alike
from aligner.execution.pool import TensorPool
from aligner.execution.profile import sketch
from aligner.execution.side import OpenSide
from aligner.records.alignment import PairedValues, Sketch
from aligner.records.array import Array
from aligner.records.axis_order import fits
from aligner.records.difference import Difference
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

Axes = Iterable[tuple[int, ...] | None]


def look(candidate: OpenSide, passes: Passes, without: Collection[str]) -> dict[str, Sketch]:
    """Run the candidate on the reference's tensors, some pairs left out, and look at every tensor.

    A further look runs what reads other tensors than in the last one, and no more.
    """
    assert candidate.profile is not None
    given = _but(passes, without)
    before, known = passes.looked
    changed = [value for value in before.keys() | given.keys() if not laid_alike(before.get(value), given.get(value))]
    wanted = [value for value in candidate.profile.sketches if candidate.profile.once(value)]
    behind = _behind(candidate.graph, changed, given) if known else set(wanted)
    again = [value for value in wanted if value in behind]
    seen = known | {tensor.value: sketch(tensor) for tensor in _computed(candidate, passes, again, given)}
    passes.looked = given, seen
    return seen


def glance(candidate: OpenSide, passes: Passes, values: Collection[str]) -> dict[str, Sketch]:
    """What ``look`` sees of some values with no pair left out; nothing else is looked at where nothing was before."""
    if passes.looked[1]:
        return look(candidate, passes, ())
    assert candidate.profile is not None
    wanted = [value for value in candidate.profile.sketches if value in values and candidate.profile.once(value)]
    return {tensor.value: sketch(tensor) for tensor in _computed(candidate, passes, wanted, passes.injectable())}


def _computed(
    candidate: OpenSide,
    passes: Passes,
    wanted: Sequence[str],
    given: Mapping[str, PairedValues],
    phase: str = "looking again",
) -> Iterator[CapturedTensor]:
    """What the candidate computes of some values where the reference's tensors are put in for given ones."""
    run = passes.injected_run(wanted=[], injectable=given)
    pool = TensorPool(passes.reference.replay(list(run.uses())), run.uses())
    try:
        yield from candidate.run(wanted, run.injection(pool), phase=phase) if wanted else ()
    finally:
        pool.close()


def _behind(graph: Graph, changed: Iterable[str], given: Collection[str]) -> set[str]:
    """What is computed from values that changed, up to the tensors that something else stands in for."""
    found, stack = set[str](), list(changed)
    while stack:
        for node in graph.readers(stack.pop()):
            new = [value for value in node.outputs if value not in found]
            found.update(new)
            stack += [value for value in new if value not in given]
    return found


def differences(
    passes: Passes,
    wanted: Sequence[str],
    without: Collection[str] = (),
    instead: Iterable[PairedValues] = (),
    override: Mapping[str, Array] | None = None,
) -> dict[str, Difference]:
    """How far pairs are from the reference where some are left to the candidate, and other tensors stand in for some.

    ``instead``: the reference's, for the candidate's; ``override``: arrays in the candidate's own layout. Of what comes
    several times, in a loop, the time counts at which it is furthest off.
    """
    given = _but(passes, without) | {pair.candidate: pair for pair in instead}
    found: dict[str, Difference] = {}
    for name, tensor, expected in passes.injected_run(wanted=wanted, injectable=given, override=override):
        error = passes.local_difference(name, expected, tensor)
        if error is not None and (name not in found or _off(error) > _off(found[name])):
            found[name] = error
    return found


def _off(error: Difference) -> tuple[int, float]:
    return error.mismatched, error.errors.max_abs


def _but(passes: Passes, without: Collection[str]) -> dict[str, PairedValues]:
    return {value: pair for value, pair in passes.injectable().items() if value not in without}


def stands_in(passes: Passes, candidate: OpenSide, reference: str, value: str, axes: Axes) -> PairedValues | None:
    """A pair that lets a tensor of the reference stand in for one of the candidate, in the first order that fits."""
    assert passes.reference.profile is not None and candidate.profile is not None
    left, right = passes.reference.profile, candidate.profile
    one, other = left.sketches.get(reference), right.sketches.get(value)
    if one is None or other is None or "float" not in other.dtype or not left.once(reference) or not right.once(value):
        return None
    for order in axes:
        if fits(one.shape, order, other.shape):
            return PairedValues(reference, value, "inserted", 1.0, order)
    return None


def shown(
    candidate: OpenSide, passes: Passes, values: Collection[str], without: Collection[str] = ()
) -> dict[str, Array]:
    """Tensors that the candidate computes on the reference's, pairs or not; some pairs left out.

    Of the values asked for those come that a run shows at all: sequences and what is inside of loops are not.
    """
    known = candidate.profile.sketches if candidate.profile is not None else {}
    wanted = [value for value in values if value in known]
    tensors = _computed(candidate, passes, wanted, _but(passes, without), "looking inside")
    return {tensor.value: tensor.array for tensor in tensors if tensor.occurrence == 0}


def made_of_reference(passes: Passes, value: str, without: Collection[str]) -> CapturedTensor | None:
    """What the candidate computes of the reference's tensors in the place of one, some pairs left out."""
    for name, tensor, _ in passes.injected_run(wanted=[value], injectable=_but(passes, without)):
        if name == value:
            return tensor
    return None


def without_step(
    passes: Passes, pair: PairedValues, place: str, array: Array, made: CapturedTensor
) -> Difference | None:
    """How far a pair is apart where an array stands in for one of the reference's tensors in a run of its own."""
    for tensor in passes.reference.run([pair.reference], {place: array}, phase="looking inside"):
        if tensor.value == pair.reference and tensor.occurrence == 0:
            return passes.held(pair.candidate, tensor, made)
    return None
