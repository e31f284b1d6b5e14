"""Each node's own noise, and what it does to the outputs: the reference with it, the candidate without it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from aligner.execution.passes import Passes
from aligner.execution.saturation import Grid, Grids
from aligner.execution.side import OpenSide
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.axis_order import to_candidate, to_reference
from aligner.records.dataclass import dataclass

MOST_RUNS = 200
"""Runs of the reference of one analysis, the noisiest pairs first."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeNoise:
    """``tensor`` is what the candidate's node makes of the reference's tensors, laid out as the reference's own.

    ``relative`` is the RMS of the noise over that of the tensor; ``clipped`` the share of its energy out of range.
    """

    pair: PairedValues
    tensor: Array
    relative: float
    clipped: float


_SAME = 1 / 8
"""Of an energy, a sixteenth of the error: half a step of its second digit, the last that is looked at."""


class NoiseEffects:
    """What single noises do to the outputs of either side."""

    def __init__(self, reference: OpenSide, candidate: OpenSide, passes: Passes) -> None:
        self._reference, self._candidate, self._passes = reference, candidate, passes
        self._grids = Grids(candidate.graph)
        computed = passes.computed()
        outputs = [value for value in dict.fromkeys(candidate.graph.outputs) if value in computed]
        self._outputs: dict[str, Array] = {}
        self._pairs = {value: computed[value] for value in outputs}
        energies = []
        for value, expected, found in passes.tensors(outputs, local=False):
            if expected.dtype.kind == "f":
                self._outputs[value] = expected
                energies.append(_energy(found, expected))
        self.baseline = math.fsum(energies)
        """Energy of the candidate's own error, of each output over the output's."""

    @property
    def measurable(self) -> bool:
        """Whether there is an output of real numbers to look at."""
        return bool(self._outputs)

    def noisy(self) -> list[str]:
        """Candidate values whose nodes err by themselves, the noisiest first; one for each of the reference's tensors.

        Of several that answer the same one, integers and the numbers they mean, it is what consumers read, the last.
        """
        found: dict[str, tuple[float, str]] = {}
        for value, pair in self._passes.injectable().items():
            item = self._passes.measured[value]
            if item.local is None or not item.local.errors.max_abs or "float" not in (item.reference_dtype or ""):
                continue
            size = max(abs(item.reference_statistics.min or 0.0), abs(item.reference_statistics.max or 0.0))
            noise = item.local.errors.rmse / size if size else 0.0
            known, _ = found.get(pair.reference, (0.0, ""))
            if not noise < known:
                found[pair.reference] = (noise if math.isfinite(noise) else math.inf, value)
        return [value for _, value in sorted(found.values(), reverse=True)]

    def noises(self, wanted: list[str], budget: int) -> Iterator[NodeNoise]:
        """The noise of these, as far as there is room for their tensors."""
        for value, tensor, expected in self._passes.injected_run(None, wanted):
            right = expected.real()
            pair = self._passes.measured[value].pair
            made = to_reference(tensor.real(), pair.axes, tuple(right.shape))
            budget -= right.nbytes
            if made is not None and budget >= 0:
                share = _clipped_share(right, made, self._grids.of(tensor))
                yield NodeNoise(pair, made.astype(right.dtype), math.sqrt(_energy(made, right)), share)

    def alone(self, noise: NodeNoise) -> float:
        """Energy of the outputs' error where the reference has this noise and no other."""
        own = self._outputs.get(noise.pair.candidate)
        direct = 0.0 if own is None else _energy(noise.tensor, own)
        return direct + self._run(self._reference, 0, {noise.pair.reference: noise.tensor}, noise.pair.candidate)

    def restored(self, noise: NodeNoise, right: Array) -> float | None:
        """Energy of the error of the candidate's outputs without this noise.

        None where it holds no such tensor, and where its runtime computes otherwise as soon as one is put in: what it
        computed itself, put in again, must leave the outputs where they are.
        """
        value = noise.pair.candidate
        known = self._candidate.graph.values.get(value)
        stored = known.quantization if known is not None else None
        now: Array | None = next((tensor.real() for tensor in self._candidate.replay([value])), None)
        if now is None or now.dtype.name != "float32" or (stored is not None and stored.scale):
            return None
        surplus = to_candidate(noise.tensor - right, noise.pair.axes, tuple(now.shape))
        if surplus is None or value in self._outputs:
            return None
        if not math.isclose(self._run(self._candidate, 1, {value: now}, ""), self.baseline, rel_tol=_SAME):
            return None
        return self._run(self._candidate, 1, {value: (now - surplus).astype(now.dtype)}, "")

    def _run(self, side: OpenSide, number: int, inject: Mapping[str, Array], left_out: str) -> float:
        """One run on an injected tensor. The injected value itself is yielded as it was computed: it says nothing."""
        wanted = {pair.values[number]: value for value, pair in self._pairs.items()}
        energies = []
        for tensor in side.run(list(wanted), inject, phase="restoring"):
            value = wanted[tensor.value]
            expected = self._outputs.get(value)
            if expected is None or value == left_out:
                continue
            axes = self._pairs[value].axes if number else None
            found = to_reference(tensor.real(), axes, tuple(expected.shape))
            energies.append(math.inf if found is None else _energy(found, expected))
        return math.fsum(energies)

    def reference_tensor(self, value: str) -> Array | None:
        """The reference's own tensor."""
        return next((tensor.real() for tensor in self._reference.replay([value])), None)


def _energy(found: Array, expected: Array) -> float:
    """‖found − expected‖² / ‖expected‖², infinite where one alone is not finite."""
    with np.errstate(all="ignore"):
        off = found.astype(np.float64) - expected.astype(np.float64)
        alike = (found == expected) | (np.isnan(found) & np.isnan(expected))
        off = np.where(alike, 0.0, off)
        size = float(np.square(np.where(np.isfinite(expected), expected, 0).astype(np.float64)).sum())
        noise = float(np.square(off).sum())
    if not math.isfinite(noise):
        return math.inf
    return noise / size if size else float(noise > 0)


def _clipped_share(right: Array, made: Array, grid: Grid | None) -> float:
    """The part of the noise that lies in elements beyond the ends of the grid by more than rounding moves them."""
    if grid is None or grid.ends is None:
        return 0.0
    noise = np.square(made.astype(np.float64) - right.astype(np.float64))
    whole = float(noise.sum())
    beyond = (right < grid.ends[0] - grid.step / 2) | (right > grid.ends[1] + grid.step / 2)
    return float(noise[beyond].sum()) / whole if whole else 0.0
