"""Whether what a tensor is off by is undone behind it, as a factor is that a converter moved into the next layer."""

from __future__ import annotations

import math

from aligner.errors import AlignerError
from aligner.execution.joint_runs import JointRuns, SpentError
from aligner.judgement.region_walk import LARGEST, STEPS, RegionWalk
from aligner.judgement.tolerance import QUANTIZED_UNIT, region_numbers
from aligner.records.dataclass import dataclass
from aligner.records.difference import Difference

_NO_MORE = 1.5
"""How much further off a reader may be with the candidate's tensor than with the reference's and still pass nothing on:
noise of two independent nodes is 1.4 times that of one. Where a factor is undone, the reader is off by all of it with
the reference's tensor; where nothing undoes it, with the candidate's."""


_OF_A_UNIT = 4.0
"""Units of stored weights that sums of products are off by, root mean square (``tolerance._measured_unit``)."""
_NOISE = 3.0 * math.sqrt(2)
"""Three times that of two layers that know nothing of each other."""
_BEHIND = 4
"""Pairs before a reader that may hold the form that it expects: a layer, an activation, and what codes and decodes."""


@dataclass(frozen=True, slots=True)
class Undone:
    """Asks for tensors of few bits or half precision, whose bounds are too wide to tell; a run for each step.

    Where no more may be run, only what is written is blamed.
    """

    walk: RegionWalk
    runs: JointRuns

    def explains(self, value: str, *, shown: bool = False) -> bool:
        """Whether a tensor that is off is undone behind, or undoes what the candidate has before it; ``shown``: some
        reader has to expect it, where others would do that are not the worse for it."""
        try:
            return self._is_undone(value, shown=shown) or self._is_righted(value)
        except (AlignerError, SpentError):
            return not shown

    def _is_undone(self, value: str, *, shown: bool) -> bool:
        """Whether no reader is the worse for the candidate's tensor, or for what it made of that; an output is."""
        inside, expected = self.walk.with_copies([value]), not shown
        for _ in range(STEPS):
            ends = self.walk.exits(inside)
            if self.walk.outputs(inside) or not ends or len(inside) > LARGEST:
                return False
            errors = self._errors(inside, ends)
            passed = [one for one in ends if self._passes(one, errors.get(one))]
            expected = expected or any(self._expects(one, errors.get(one)) for one in ends)
            if not passed:
                return expected
            inside |= self.walk.with_copies(passed)
        return False

    def _is_righted(self, value: str) -> bool:
        """Whether a tensor is off by less where what it is made from is the candidate's."""
        own, inside = self.walk.items[value].local, set[str]()
        for _ in range(_BEHIND):
            before = {name for one in (value, *inside) for name in self.walk.inputs(one) if name in self.walk.items}
            if own is None or before <= inside:
                return False
            inside |= before
            if self._expects(value, self._errors(inside - {value}, [value]).get(value)):
                return True
        return False

    def _errors(self, inside: set[str], ends: list[str]) -> dict[str, Difference | None]:
        """How far off some pairs are with others left to the candidate."""
        shown = self.runs.tensors(self.walk.reached(inside), ends)
        return {value: self.runs.difference(value, expected, tensor) for value, tensor, expected in shown}

    def _expects(self, value: str, error: Difference | None) -> bool:
        """Whether a reader is off by less than with the reference's tensors, and by no more than noise."""
        own = self.walk.items[value].local
        if error is None or own is None or error.mismatched:
            return False
        return _NO_MORE * error.errors.rmse < own.errors.rmse and self._is_noise(value, error)

    def _passes(self, value: str, error: Difference | None) -> bool:
        own = self.walk.items[value].local
        if error is None or own is None or error.mismatched:
            return True
        return error.errors.rmse > _NO_MORE * own.errors.rmse or not self._is_noise(value, error)

    def _is_noise(self, value: str, error: Difference) -> bool:
        """Whether what is left is no more than few bits leave, or nothing is in few bits."""
        numbers = region_numbers((self.runs.sides[0].graph, self.runs.sides[1].graph), self.walk.items[value])
        if not numbers.quantized:
            return True
        share = _OF_A_UNIT * max(numbers.storage, QUANTIZED_UNIT)
        return error.errors.rmse <= _NOISE * max(numbers.step, share * error.scale)
