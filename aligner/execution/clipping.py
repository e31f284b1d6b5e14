"""What a quantised range cuts off, taken as given: what its readers do with the rest, and whether outputs show it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from aligner.execution.passes import Passes
from aligner.execution.saturation import Grids
from aligner.execution.side import Sides
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate
from aligner.records.tensor import CapturedTensor

MOST_RUNS = 64
"""Tensors of one comparison that are cut off one after another; where there are more, the outputs are not asked."""
_PHASE = "cutting tensors off"


class Clipping:
    """Runs of one side on its own tensors, cut off as the other's ranges cut them."""

    def __init__(self, sides: Sides, passes: Passes) -> None:
        self._sides, self._passes = sides, passes
        self._grids = Grids(sides[0].graph), Grids(sides[1].graph)

    def settle(self) -> None:
        """Measure the readers of what is cut off on both sides' nodes fed alike; ask the outputs."""
        for host in (0, 1):
            cut = self._cut(host)
            if cut and host == 0 and self._passes.computing == 1:
                self._measure_readers(cut)
            if 0 < len(cut) <= MOST_RUNS:
                self._ask_outputs(cut, host)

    def _cut(self, host: int) -> dict[str, tuple[float, float]]:
        """Which tensors of a side do not fit into the range of the other's, and that range."""
        if self._passes.computing is None or not self._sides[host].session.capabilities.can_inject:
            return {}
        found = {}
        for item in self._passes.measured.values():
            values = item.pair.reference, item.pair.candidate
            own, grid = (self._grids[side].of_value(values[side]) for side in (host, 1 - host))
            ends = grid.ends if grid is not None and item.saturated and item.pair.note is None else None
            if ends is not None and (own is None or own.ends is None or _exceeds(own.ends, ends)):
                found[values[host]] = ends
        return found

    def _measure_readers(self, cut: Mapping[str, tuple[float, float]]) -> None:
        """A node of the candidate was fed with what the range holds of a tensor: the reference's is, too.

        Of numbers that were read back a runtime may hold to the range what is put in their place, or take it all: their
        readers were fed with what they are nearer to.
        """
        measured, values = self._passes.measured, self._sides[1].graph.values
        held = {
            value
            for value, item in measured.items()
            if item.pair.reference in cut and self._grids[1].of_value(value) is not None
        }
        stored = {value for value in held if values[value].quantization is not None}
        readers = {
            value: item
            for value, item in measured.items()
            if item.local is not None and not held.isdisjoint(item.pair.candidate_region.inputs)
        }
        if not readers:
            return
        paired = {item.pair.reference for item in measured.values()}
        entries = {name for item in readers.values() for name in item.pair.reference_region.inputs if name in paired}
        own = _first_passes(self._sides[0].replay(sorted(entries)))
        fed = {value: _held(one, cut.get(value)).array for value, one in own.items()}
        made = self._run(0, [item.pair.reference for item in readers.values()], fed)
        for value, found, _ in self._passes.injected_run(None, list(readers)):
            expected = made.get(measured[value].pair.reference)
            if expected is None or found.occurrence:
                continue
            if not stored.isdisjoint(readers[value].pair.candidate_region.inputs) or self._nearer(
                value, expected, found
            ):
                self._passes.take_local(value, expected, found)
                measured[value] = replace(measured[value], fed_alike=True)

    def _nearer(self, value: str, expected: CapturedTensor, found: CapturedTensor) -> bool:
        before, after = self._passes.measured[value].local, self._passes.local_difference(value, expected, found)
        return before is None or (after is not None and after.errors.max_abs < before.errors.max_abs)

    def _ask_outputs(self, cut: Mapping[str, tuple[float, float]], host: int) -> None:
        """How much nearer a side comes to the other's outputs with each further tensor cut off.

        Clipping shows where all of it together is most of what the outputs differ by, at the tensors that have their
        part in that. What else the outputs differ by is rounding, or another fault.
        """
        measured, graph = self._passes.measured, self._sides[host].graph
        places = {value: node.index for node in graph.nodes for value in node.outputs}
        order = sorted(cut, key=lambda value: places.get(value, -1))
        gaps = self._gaps(order, cut, host)
        for value, item in measured.items():
            name = (item.pair.reference, item.pair.candidate)[host]
            if name in cut:
                shows = any(_has_part(each, order.index(name)) for each in zip(*gaps, strict=True))
                measured[value] = replace(item, clipping_shows=shows)

    def _gaps(self, order: Sequence[str], cut: Mapping[str, tuple[float, float]], host: int) -> list[list[float]]:
        """Squared distances of a side's outputs from the other's, with none, one, two … tensors cut off.

        Empty where all of it together is not most of any distance: the steps between would tell nothing.
        """
        outputs = self._outputs(host)
        if not outputs:
            return []
        fed: dict[str, Array] = {}
        shown = _first_passes(self._sides[host].replay([*outputs, order[0]], phase=_PHASE))
        gaps = [self._distances(shown, outputs, {})]
        for value, following in zip(order, (*order[1:], None), strict=True):
            fed[value] = _held(shown[value], cut[value]).array
            if following is not None:
                shown = self._run(host, [following], fed)

        def distances(count: int) -> list[float]:
            first = order[:count]
            made = self._run(host, outputs, {name: fed[name] for name in first})
            return self._distances(made, outputs, {name: cut[name] for name in first})

        gaps.append(distances(len(order)))
        if not any(map(_explained, *gaps)):
            return []
        return [gaps[0], *map(distances, range(1, len(order))), gaps[1]]

    @staticmethod
    def _distances(
        shown: Mapping[str, CapturedTensor], outputs: Mapping[str, Array], cut: Mapping[str, tuple[float, float]]
    ) -> list[float]:
        return [_gap(_held(shown[name], cut.get(name)).real(), wanted) for name, wanted in outputs.items()]

    def _outputs(self, host: int) -> dict[str, Array]:
        """The other side's outputs of real numbers in this side's order, by what they are called here."""
        measured, profile = self._passes.measured, self._sides[host].profile
        wanted = [value for value in dict.fromkeys(self._sides[1].graph.outputs) if value in self._passes.computed()]
        found = {}
        for value, *arrays in self._passes.tensors(wanted, local=False):
            pair, other = measured[value].pair, arrays[1 - host]
            sketch = profile.sketches.get(value) if profile is not None and host else None
            moved = to_candidate(other, pair.axes, sketch.shape) if sketch is not None else other
            if other.dtype.kind == "f" and moved is not None:
                found[pair.values[host]] = moved
        return found

    def _run(self, host: int, observe: Collection[str], fed: Mapping[str, Array]) -> dict[str, CapturedTensor]:
        return _first_passes(self._sides[host].run(sorted(set(observe)), fed or None, phase=_PHASE))


def _first_passes(run: Iterable[CapturedTensor]) -> dict[str, CapturedTensor]:
    """What the nodes gave when they ran first; a loop's later passes are left out."""
    return {one.value: one for one in run if one.occurrence == 0}


def _held(tensor: CapturedTensor, ends: tuple[float, float] | None) -> CapturedTensor:
    """What a range holds of a tensor; all of it without one."""
    if ends is None:
        return tensor
    held, quantization, dtype = tensor.real().clip(*ends), tensor.quantization, tensor.array.dtype
    if quantization is not None and quantization.scale and dtype.kind in "iu":
        return replace(tensor, array=quantization.quantize(held, dtype))
    return replace(tensor, array=held.astype(dtype, copy=False))


def _exceeds(ends: tuple[float, float], others: tuple[float, float]) -> bool:
    return ends[0] < others[0] or ends[1] > others[1]


def _has_part(gaps: Sequence[float], place: int) -> bool:
    """Whether cutting off explains most of a distance, and this tensor no less of it than the mean one."""
    own, whole = gaps[place] - gaps[place + 1], gaps[0] - gaps[-1]
    return _explained(gaps[0], gaps[-1]) and own * (len(gaps) - 1) >= whole


def _explained(before: float, after: float) -> bool:
    return 2 * (before - after) > before


def _gap(one: Array, other: Array) -> float:
    if one.shape != other.shape:
        return float("nan")
    return float(np.square(one.astype(np.float64) - other).sum())
