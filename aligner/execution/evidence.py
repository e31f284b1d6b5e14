"""Gather the arrays a proof needs: what the first culprits read and computed on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from aligner.adapters.lazy_injection import LazyInjection
from aligner.execution.injection import ReferenceInjection
from aligner.execution.kept_precision import with_kept_precision
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide, Sides
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.measurement import Measured
from aligner.records.tensor import CapturedTensor
from aligner.regions.culprit import in_order
from aligner.regions.subgraph import Evidence

CULPRITS = 12
"""Culprits whose arrays are gathered; the others are judged by their settings and weights."""
_BYTES = 1 << 29
"""Arrays that are gathered for causes; beyond, culprits are judged by settings and weights."""


def gather(
    reference: OpenSide, candidate: OpenSide, passes: Passes, guilty: Sequence[Measured], *, most: int = CULPRITS
) -> dict[str, Evidence]:
    """Candidate value → evidence, for the first ``most`` culprits that fit into memory; one more run of each side.

    The side that computes does so on the other's tensors: the candidate on the reference's, or, against a recording,
    the reference on the recorded ones. Where neither can, both stand with their own, which prove something only about
    culprits whose inputs agree.
    """
    chosen = _chosen(reference, candidate, guilty[:most])
    if not chosen:
        return {}
    wanted = [set[str](), set[str]()]
    for item in chosen:
        for side, opened in enumerate((reference, candidate)):
            wanted[side] |= _values(opened, item.pair, side)
    sides, host = (reference, candidate), passes.computing
    shown = [_own(side, wanted[number]) if number != host else {} for number, side in enumerate(sides)]
    handed: list[Mapping[str, Array]] = [{}, {}]
    if host is not None:
        shown[host], handed[host] = _local(sides, passes, host, wanted[host])
    found = {
        item.pair.candidate: evidence
        for item in chosen
        if (evidence := _evidence(item.pair, (shown[0], shown[1]), handed)) is not None
    }
    return with_kept_precision(sides, [item.pair for item in chosen], found)


def _chosen(reference: OpenSide, candidate: OpenSide, guilty: Sequence[Measured]) -> list[Measured]:
    chosen: list[Measured] = []
    total = 0
    for item in guilty:
        total += sum(
            _size(opened, _values(opened, item.pair, side)) for side, opened in enumerate((reference, candidate))
        )
        if total > _BYTES and chosen:
            break
        chosen.append(item)
    return chosen


def _size(side: OpenSide, values: Iterable[str]) -> int:
    sketches = side.profile.sketches if side.profile is not None else {}
    return sum(4 * sketches[value].size for value in values if value in sketches)


def _values(side: OpenSide, pair: PairedValues, number: int) -> set[str]:
    """The region's inputs, what it computes inside, and its output: what the run can show of them.

    Also what nodes make that read nothing: states of zeros, as long as the batch of the day; no empty sequences, which
    are no values of the graph.
    """
    region = pair.regions[number]
    graph = side.graph
    names = {pair.values[number], *region.inputs}
    for index in region.nodes:
        names.update(name for name in (*graph.nodes[index].inputs, *graph.nodes[index].outputs) if name)
    seen = side.profile.sketches if side.profile is not None else {}
    made = {name for name in names if (node := graph.producer(name)) is not None and not node.inputs}
    made &= graph.values.keys()
    return {name for name in names if name in seen or (name in made and not graph.varies(name))}


def _remembering(
    injection: ReferenceInjection, handed: dict[str, Array], wanted: set[str], side: OpenSide
) -> LazyInjection:
    """An injection that keeps what it handed over of the values that matter, as real numbers."""

    def read(value: str) -> Array:
        array = injection[value]
        if value in wanted:
            quantization = side.graph.values[value].quantization if value in side.graph.values else None
            stored = quantization is not None and quantization.scale and array.dtype.kind in "iu"
            handed[value] = quantization.dequantize(array) if stored and quantization else array
        return array

    return LazyInjection(injection, read)


def _own(side: OpenSide, wanted: set[str]) -> dict[str, CapturedTensor]:
    return {tensor.value: tensor for tensor in side.replay(sorted(wanted)) if tensor.occurrence == 0}


def _local(
    sides: Sides, passes: Passes, host: int, wanted: set[str]
) -> tuple[dict[str, CapturedTensor], Mapping[str, Array]]:
    """What a side computes from the other's tensors, and those tensors as its nodes read them."""
    injected = passes.injected_run(None, ())
    pool = passes.pool(injected.uses(), 1 - host)
    handed: dict[str, Array] = {}
    injection = _remembering(injected.injection(pool), handed, wanted, sides[host])
    try:
        run = sides[host].run(sorted(wanted), injection, phase="looking closely at the culprits")
        return {tensor.value: tensor for tensor in run if tensor.occurrence == 0}, handed
    finally:
        pool.close()


def _evidence(
    pair: PairedValues,
    shown: tuple[Mapping[str, CapturedTensor], Mapping[str, CapturedTensor]],
    handed: Sequence[Mapping[str, Array]],
) -> Evidence | None:
    if pair.reference not in shown[0] or pair.candidate not in shown[1]:
        return None
    expected, found = shown[0][pair.reference], shown[1][pair.candidate]
    regions = pair.reference_region, pair.candidate_region
    outputs = pair.reference, pair.candidate  # of a graph's input also what the region starts from: it stays its own
    real = [
        {name: tensor.real() for name, tensor in tensors.items()}
        | {name: read[name] for name in region.inputs if name in read and name != output}
        for tensors, read, region, output in zip(shown, handed, regions, outputs, strict=True)
    ]
    wanted = expected.real()
    return Evidence(
        expected=wanted,
        found=in_order(found.real(), pair.axes, wanted.shape),
        values=(real[0], real[1]),
        dtype=expected.dtype,
        found_dtype=found.dtype,
    )
