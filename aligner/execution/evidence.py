"""Gather the arrays a proof needs: what the first culprits read and computed on both sides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aligner.execution.injection import ReferenceInjection
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.records.alignment import PairedValues
from aligner.records.axis_order import to_candidate
from aligner.records.measurement import Measured
from aligner.regions.culprit import in_order
from aligner.regions.region_side import Evidence

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.records.tensor import CapturedTensor

    Array = NDArray[Any]

CULPRITS = 12
"""Culprits whose arrays are gathered; the others are judged by their settings and weights."""
_BYTES = 1 << 29


def gather(reference: OpenSide, candidate: OpenSide, passes: Passes, guilty: Sequence[Measured]) -> dict[str, Evidence]:
    """Candidate value → evidence, for the first culprits that fit into memory; one more run of each side.

    Where nothing can be injected, the candidate's own tensors stand in; they prove something only about culprits whose
    inputs agree.
    """
    chosen = _chosen(reference, candidate, guilty)
    if not chosen:
        return {}
    wanted = [set[str](), set[str]()]
    for item in chosen:
        for side, opened in enumerate((reference, candidate)):
            wanted[side] |= _values(opened, item.pair, side)
    left = {tensor.value: tensor for tensor in reference.replay(sorted(wanted[0])) if tensor.occurrence == 0}
    right, handed = _local(candidate, passes, wanted[1])
    return {
        item.pair.candidate: evidence
        for item in chosen
        if (evidence := _evidence(item.pair, left, right, handed)) is not None
    }


def _chosen(reference: OpenSide, candidate: OpenSide, guilty: Sequence[Measured]) -> list[Measured]:
    chosen: list[Measured] = []
    total = 0
    for item in guilty[:CULPRITS]:
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
    """The region's inputs, what it computes inside, and its output: what the run can show of them."""
    region = (pair.reference_region, pair.candidate_region)[number]
    graph = side.graph
    names = {(pair.reference, pair.candidate)[number], *region.inputs}
    for index in region.nodes:
        names.update(name for name in (*graph.nodes[index].inputs, *graph.nodes[index].outputs) if name)
    seen = side.profile.sketches if side.profile is not None else {}
    return {name for name in names if name in seen}


class _Remembering(Mapping[str, "Array"]):
    """An injection that keeps what it handed over of the values that matter."""

    def __init__(self, injection: ReferenceInjection, wanted: set[str], side: OpenSide) -> None:
        self._injection, self._wanted, self._values = injection, wanted, side.graph.values
        self.handed: dict[str, Array] = {}

    def __getitem__(self, value: str) -> Array:
        array = self._injection[value]
        if value in self._wanted:
            quantization = self._values[value].quantization if value in self._values else None
            stored = quantization is not None and quantization.scale and array.dtype.kind in "iu"
            self.handed[value] = quantization.dequantize(array) if stored and quantization else array
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._injection)

    def __len__(self) -> int:
        return len(self._injection)

    def __contains__(self, value: object) -> bool:
        return value in self._injection


def _local(
    candidate: OpenSide, passes: Passes, wanted: set[str]
) -> tuple[dict[str, CapturedTensor], Mapping[str, Array]]:
    """What the candidate computes from the reference's tensors, and those tensors as its nodes read them."""
    if not candidate.session.can_inject:
        return {tensor.value: tensor for tensor in candidate.replay(sorted(wanted)) if tensor.occurrence == 0}, {}
    injectable = passes.injectable()
    pool = passes.pool(Counter(pair.reference for pair in injectable.values()))
    assert candidate.profile is not None
    plain = ReferenceInjection(
        pool,
        injectable,
        candidate.profile.sketches,
        {v: candidate.graph.values[v].quantization for v in injectable if v in candidate.graph.values},
        lambda array, pair, shape: to_candidate(array, pair.axes, shape),
    )
    injection = _Remembering(plain, wanted, candidate)
    try:
        run = candidate.run(sorted(wanted), injection, phase="looking closely at the culprits")
        return {tensor.value: tensor for tensor in run if tensor.occurrence == 0}, injection.handed
    finally:
        pool.close()


def _evidence(
    pair: PairedValues,
    left: Mapping[str, CapturedTensor],
    right: Mapping[str, CapturedTensor],
    handed: Mapping[str, Array],
) -> Evidence | None:
    if pair.reference not in left or pair.candidate not in right:
        return None
    expected, found = left[pair.reference].real(), right[pair.candidate].real()
    read = {name: handed[name] for name in pair.candidate_region.inputs if name in handed}
    return Evidence(
        expected=expected,
        found=in_order(found, pair.axes, expected.shape),
        values=(
            {name: tensor.real() for name, tensor in left.items()},
            {name: tensor.real() for name, tensor in right.items()} | read,
        ),
        dtype=left[pair.reference].dtype,
        found_dtype=right[pair.candidate].dtype,
    )
