"""Tensors inside a region of few bits that are not what their nodes compute.

The bounds of few bits are wide, and nothing on the other side answers a tensor inside a region: a range that cuts it
off, or a step that says another size than the integers were made with, passes under the bound of the region's end. Each
such tensor of either side is computed again from what its node read; where it was seen further off than its steps
explain, and the region's end comes nearer to the reference without that, the node errs. A range that a converter puts
in the place of a clip fails the second: the end is right with it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from aligner.execution.evidence import gather
from aligner.execution.injection import numpy_dtype
from aligner.execution.joint_runs import JointRuns
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide
from aligner.judgement.exact_parameters import may_differ, shown_difference
from aligner.judgement.region_walk import RegionWalk
from aligner.judgement.simulated_rounding import may_exceed, simulated
from aligner.judgement.tolerance import region_numbers
from aligner.judgement.undone import Undone
from aligner.records.axis_order import to_candidate, to_reference
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.culprit import Culprit, distance
from aligner.regions.inner_tensors import SATURATED, InnerTensor, inner_tensors, inside, is_read_otherwise, range_of

Within = tuple[str, str, str | None]
"""As ``records.comparison.Within``: the candidate's node, what is wrong with it, the reference's node."""
_MENDED = 0.5
"""Share of its error's energy that a region keeps at most without what a guilty node adds: the greater part is the
node's. Energies of errors that know nothing of each other add up, as rounding of what the region reads does."""
_ROUNDING = "rounding"
_PATIENCE = 4
"""Pairs blamed by their numbers, after which nobody asks of others whether something undoes them: it has diverged."""
_ALIKE = 2.0
"""How far the region's error may be from what it is computed to be."""


@dataclass(frozen=True, slots=True)
class InnerNodes:
    """Asks the regions of one comparison whose ends are right by the bounds of few bits."""

    sides: tuple[OpenSide, OpenSide]
    passes: Passes

    def erring(self, measured: Sequence[Measured], excused: Collection[str]) -> Iterator[tuple[Measured, Within, str]]:
        """Pairs, where inside the error is made, and what is done there; one more run of each side where any may.

        ``excused``: values whose form is another, as others undo it.
        """
        graphs = self.sides[0].graph, self.sides[1].graph
        asked = [i for i in measured if any(may(graphs, i) for may in (self._may_hide, may_differ, may_exceed))]
        walk = RegionWalk(measured, graphs[1])
        walk.free |= set(excused)
        undone, blamed = Undone(walk, JointRuns(self.sides, self.passes)), 0
        answers = {value: item.pair.reference for value, item in self.passes.measured.items()}
        for value, evidence in gather(*self.sides, self.passes, asked, most=len(asked)).items():
            item = self.passes.measured[value]
            culprit = Culprit(graphs, item, evidence)
            found = next(filter(_errs, chain(inner_tensors(culprit), inner_tensors(culprit, 0))), None)
            if found is not None and not (found.is_cut and self._is_unseen(item, found)):
                where: Within = (found.node.name, "range", None)
                yield item, where if found.side else (culprit.where, "range", found.node.name), _words(found)
            elif found is None and (told := self._by_numbers(culprit, answers, excused=value in excused)) is not None:
                few, written = region_numbers(graphs, item).quantized, told[0][1] != _ROUNDING
                if not few or blamed >= _PATIENCE or not undone.explains(value, shown=written):
                    blamed += 1
                    yield item, *told

    def _by_numbers(self, culprit: Culprit, answers: Mapping[str, str], *, excused: bool) -> tuple[Within, str] | None:
        """A parameter that shows in a region's error, or an error that is more than rounding to its grids.

        What was recorded in few bits may have been computed of finer numbers: what those are nobody knows.
        """
        other = shown_difference(culprit, excused=excused)
        if other is not None:
            return other.place, other.words
        runs = all(side.session.capabilities.computes for side in self.sides)
        noise = simulated(culprit, answers) if runs and not excused else None
        if noise is None or not noise.exceeded:
            return None
        words = f"off by {noise.seen:.2g} (root mean square), where rounding to its steps leaves {noise.expected:.2g}"
        return (culprit.where, _ROUNDING, None), words

    def _is_unseen(self, item: Measured, inner: InnerTensor) -> bool:
        """Whether the outputs differ by something else than what is cut off: calibrations leave out tails.

        That side's own tensor at the region's end is moved by what the exact one adds there; less than half of what
        any output is off by goes. A recording cannot be asked, beyond what the other side said of the region's end.
        """
        side, computed = self.sides[inner.side], self.passes.computed()
        if not side.session.capabilities.can_inject:
            return item.clipping_shows is False
        value, graph = item.pair.values[inner.side], side.graph
        answers = {pair.values[inner.side]: pair for pair in computed.values()}
        outputs = [name for name in dict.fromkeys(graph.outputs) if name in answers and name != value]
        asked = [item.pair.candidate, *(answers[name].candidate for name in outputs)]
        kept = {one: arrays for one, *arrays in self.passes.tensors(asked, local=False)}
        before, after = inner.end(inner.seen), inner.end(inner.exact)
        if not kept.keys() >= set(asked) or before is None or after is None:
            return False
        end = (kept[item.pair.candidate][inner.side] + (after - before)).astype(np.float32)
        shape, held_as = (
            (item.candidate_shape, item.candidate_dtype) if inner.side else (item.reference_shape, item.reference_dtype)
        )
        moved = to_candidate(end, item.pair.axes, shape or ()) if inner.side else end
        grid, dtype = graph.values[value].quantization, np.dtype(numpy_dtype(held_as or "") or np.float32)
        if moved is None or not outputs:
            return False
        fed = {value: grid.quantize(moved, dtype) if grid is not None and dtype.kind in "iu" else moved.astype(dtype)}
        for one in side.run(outputs, fed, phase="looking into regions"):
            pair, real = answers[one.value], one.real()
            own, other = kept[pair.candidate][inner.side], kept[pair.candidate][1 - inner.side]
            held = to_reference(real, pair.axes if inner.side else None, tuple(own.shape))
            if held is None or 2 * distance(held, other) ** 2 <= distance(own, other) ** 2:
                return False
        return True

    def _may_hide(self, graphs: tuple[Graph, Graph], item: Measured) -> bool:
        """Whether a tensor inside reaches an end of its range, as each one does that is cut off, or was only moved and
        has another grid than before."""
        if item.local is None or item.local.mismatched or not region_numbers(graphs, item).quantized:
            return False
        return any(
            self._is_at_an_end(side, value) or is_read_otherwise(graphs[side], value, node)
            for side, region in enumerate(item.pair.regions)
            for value, node in inside([graphs[side].nodes[at] for at in region.nodes], item.pair.values[side])
        )

    def _is_at_an_end(self, side: int, value: str) -> bool:
        held, profile = range_of(self.sides[side].graph, value), self.sides[side].profile
        seen = profile.sketches.get(value) if profile is not None else None
        if seen is None or held is None:
            return False
        return bool(seen.min <= held.low + held.step / 2 or seen.max >= held.high - held.step / 2)


def _errs(inner: InnerTensor) -> bool:
    """Whether the region's end, computed again, is off as it was seen to be, and nearer with the exact tensor."""
    culprit, expected = inner.culprit, inner.culprit.target(inner.side)
    if float(inner.off.mean()) <= SATURATED or expected is None or culprit.misfit:
        return False
    ends = inner.end(inner.seen), inner.end(inner.exact)
    if ends[0] is None or ends[1] is None:
        return False
    before, after = culprit.apart(ends[0], expected), culprit.apart(ends[1], expected)
    return after**2 <= _MENDED * before**2 and before / _ALIKE <= culprit.gap <= before * _ALIKE


def _words(inner: InnerTensor) -> str:
    whose = "" if inner.side else "the reference's "
    share, name = f"{float(inner.off.mean()):.1%}", f"{whose}{inner.node.name} ({inner.node.op})"
    if inner.is_cut:
        return f"{share} of what {name} gives is cut off at the range {inner.range.low:.4g}…{inner.range.high:.4g}"
    return f"{share} of what {name} gives is not what it computes of what it reads"
