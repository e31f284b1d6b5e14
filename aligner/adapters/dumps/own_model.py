"""The model that a dump is of, run here as the device ran it: what it computes from recorded tensors, and what the
device did otherwise, node by node."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from aligner.adapters.base import Feeds, Injection, Session
from aligner.adapters.dumps.operand_rounding import operand_type
from aligner.adapters.dumps.overwritten import overwritten
from aligner.adapters.dumps.recorded import Given, real
from aligner.errors import AlignerError, listing
from aligner.numerics.rounding import unit
from aligner.operations.kinds import SOURCES
from aligner.operations.reduction import reduction_length
from aligner.records.array import Array
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

_MOST_CHAINED = 16
"""Deviating nodes inside of what one run leaves free; each takes a run of its own."""


class OwnModel:
    """A device as the sum of its model and its *deviations*: what a recorded tensor has beyond what the model's nodes
    give for the nearest recorded tensors before it, where that is more than rounding.

    Fed other tensors, the device is taken to deviate by the same amount, so that all that can be asked of a model that
    runs can be asked of it.
    """

    def __init__(
        self,
        session: Session,
        graph: Graph,
        feeds: Feeds,
        recorded: Mapping[str, Callable[[], CapturedTensor]],
        judged_as: Callable[[str], None] | None = None,
    ) -> None:
        self.misfit = ""
        self._beyond_range: dict[str, Array] = {}
        self.session, self.graph, self.feeds = session, graph, feeds
        self.recorded = dict(recorded)
        self.deviations: dict[str, Array] = {}
        self.first: frozenset[str] = frozenset()
        """Recorded values on the way to which something of the graph's inputs is read."""
        self.saturated: list[str] = []
        """Recorded values that were too large for the dump's type and not for the device, which went on from them."""
        self.overwritten: list[str] = []
        """Recorded values whose tensors are not what the device went on from, and which are the model's own instead."""
        self.operands: str | None = None
        """The narrower type to whose bits the device rounds what it multiplies, though it writes float32."""
        try:
            self.fits = self._compare() and self._narrow(judged_as) and self._unsaturate() and self._restore()
        except AlignerError as error:  # a tensor of another shape or kind than the model's
            self.fits, self.misfit = False, error.what

    def _compare(self) -> bool:
        """Find what the device did otherwise; False where a recorded tensor cannot stand in the model's place."""
        computed = [value for value in self.recorded if self.graph.producer(value) is not None]
        grain = self._grain(computed)
        repeated = set()
        for tensor in self.session.run(self.feeds, computed, Given(real(self.recorded), self.graph)):
            if tensor.occurrence:
                repeated.add(tensor.value)
                continue
            found = self.recorded[tensor.value]()
            if found.array.shape != tensor.array.shape:
                self.misfit = f"{tensor.value} is {list(found.array.shape)}, the model's {list(tensor.array.shape)}"
                return False
            beyond = self._beyond(tensor, found, grain.get(tensor.value, 0.0))
            if beyond is not None:
                self.deviations[tensor.value] = beyond
                if tensor.value not in self.graph.outputs and _is_beyond_range(tensor.real(), found):
                    self._beyond_range[tensor.value] = tensor.real().copy()
        for value in repeated:  # what one file can only hold once is left to the model
            self.recorded.pop(value)
            self.deviations.pop(value, None)
        self.first = frozenset(value for value in self.recorded if value in computed and self._reads_inputs(value))
        return True

    def _narrow(self, judged_as: Callable[[str], None] | None) -> bool:
        """Find whether the device rounds what it multiplies, and say so to the reader of the dump; always fits."""
        if judged_as is not None and self.deviations:
            self.operands = operand_type(self.session, self.graph, self.feeds, self.recorded, self.deviations.keys())
        if judged_as is not None and self.operands:
            judged_as(self.operands)
            self.deviations.clear()
            self._compare()
        return True

    def _unsaturate(self) -> bool:
        """Put the model's numbers in the place of infinities, where the device went on as from those; always fits.

        A device that computes in the narrow type goes on from infinities, and is left as it is. So are outputs.
        """
        before, deviations = dict(self.recorded), dict(self.deviations)
        found: dict[str, Array] = {}
        for _ in range(_MOST_CHAINED):
            more = {value: own for value, own in self._beyond_range.items() if value not in found}
            if not more:
                break
            found |= more
            self.recorded |= {value: partial(_filled, before[value], own) for value, own in more.items()}
            self.deviations.clear()
            self._compare()
        if len(self.deviations) < len(deviations):
            self.saturated = [*found]
        elif found:
            self.recorded, self.deviations = before, deviations
        self._beyond_range.clear()
        return True

    def _restore(self) -> bool:
        """Leave to the model what the device had otherwise than it was recorded; always fits."""
        recorded = dict(self.recorded)
        computed = [value for value in recorded if self.graph.producer(value) is not None]

        def misfits(left: Collection[str]) -> set[str]:
            self.recorded = {value: read for value, read in recorded.items() if value not in left}
            grain = self._grain(computed)
            given = Given(real(self.recorded), self.graph)
            return {
                tensor.value
                for tensor in self.session.run(self.feeds, computed, given)
                if self._beyond(tensor, recorded[tensor.value](), grain.get(tensor.value, 0.0)) is not None
            }

        self.overwritten = overwritten(self.graph, computed, self.deviations, misfits)
        self.recorded = {value: read for value, read in recorded.items() if value not in self.overwritten}
        if self.overwritten:
            self.deviations.clear()
            self._compare()
        return True

    def _grain(self, computed: Collection[str]) -> dict[str, float]:
        """How far values move where the codes that they are computed from are rounded otherwise, in two runs' worst."""
        codes = {value: read for value, read in self.recorded.items() if _step(read())}
        if not codes:
            return {}
        rng = np.random.default_rng(0)
        moved = {value: partial(_rounded_anew, read, rng) for value, read in codes.items()}
        fed = Given(real(self.recorded), self.graph), Given(real({**self.recorded, **moved}), self.graph)
        plain, anew = (self.session.run(self.feeds, computed, one) for one in fed)
        found: dict[str, float] = {}
        for one, other in zip(plain, anew, strict=False):
            if one.array.dtype.kind in "fiu" and one.array.shape == other.array.shape:
                apart = np.abs(other.real().astype(np.float64) - one.real().astype(np.float64))
                found[one.value] = 2 * float(apart.max(initial=0.0, where=np.isfinite(apart)))
        return found

    def _beyond(self, tensor: CapturedTensor, found: CapturedTensor, grain: float) -> Array | None:
        own, there = tensor.real(), found.real()
        if own.dtype.kind not in "fiub":
            return None
        with np.errstate(all="ignore"):
            apart = there.astype(np.float64) - own.astype(np.float64)
        peak = float(np.abs(own, dtype=np.float64).max(initial=0.0, where=np.isfinite(own)))
        limit = self._rounding(tensor.value, found.dtype) * peak + _step(found) + grain
        same = (there == own) | (np.isnan(there) & np.isnan(own)) if own.dtype.kind == "f" else there == own
        if bool((same | (np.abs(apart) <= limit)).all()):
            return None
        return apart.astype(np.float32) if own.dtype.kind == "f" and own.dtype.itemsize <= 4 else apart

    def _rounding(self, value: str, dtype: str) -> float:
        """u·(8 + √K): what rounding a sum of K products does to it, in the coarser of float32 and the dump's type."""
        region = self.graph.region(self.recorded.keys(), value)
        longest = max((reduction_length(self.graph, node) for node in region), default=1)
        return unit(dtype) * (8 + math.sqrt(longest)) * max(1, len(region))

    def _reads_inputs(self, value: str) -> bool:
        region = self.graph.region(self.recorded.keys(), value)
        return any(name in self.graph.inputs for node in region if node.kind != "shape" for name in node.inputs)

    def notes(self, graph: Graph, model: str) -> Iterator[str]:
        """Sentences on what the dump has to do with its model."""
        if self.saturated:
            names = listing(graph.values[value].name for value in self.saturated)
            yield (
                f"too large for the dump's float16 and not for the device, which went on from finite numbers: {names}; "
                f"those of {model}, run here, stand in their place"
            )
        if self.operands:
            yield (
                f"the device rounds what it multiplies to the bits of {self.operands} (TF32 has as many as float16): "
                "the errors of its products are what that changes; its tensors are judged as such"
            )
        if self.overwritten:
            names = listing(graph.values[value].name for value in self.overwritten)
            yield (
                f"recorded tensors that the device did not go on from, their memory having been written over or never "
                f"written: {names}; those of {model}, run here, stand in their place"
            )
        made = [value for node in graph.nodes if node.kind not in SOURCES for value in node.outputs]
        lost = [value for value in made if value not in self.recorded and value in graph.values]
        if lost:
            yield (
                f"{len(made) - len(lost)} of {len(made)} tensors were recorded; the others {model} computes, run here "
                "from the nearest recorded ones, and a fault of the device between two is placed at the later one"
            )
        if not self.deviations:
            yield f"{model}, run here, gives every recorded tensor from the ones recorded before it"
        else:
            names = listing(graph.values[value].name for value in self.deviations)
            yield f"recorded tensors that {model}, run here, does not give from the ones recorded before them: {names}"

    def replay(self, wanted: Collection[str] | None) -> Iterator[CapturedTensor]:
        """What was recorded, and of the rest what the model computes from it, in the model's order."""
        for tensor in self.session.run(self.feeds, wanted, Given(real(self.recorded), self.graph)):
            recorded = self.recorded.get(tensor.value)
            yield tensor if recorded is None else recorded()

    def run(self, feeds: Feeds, observe: Collection[str], inject: Injection) -> Iterator[CapturedTensor]:
        """The model with tensors put into it, deviating as the device does."""
        given, inside = Given(inject, self.graph), self._inside(observe, inject)
        given.keep = bool(inside)
        for value in inside:
            for tensor in self.session.run(feeds, [value], given):
                given.fixed[value] = self._deviated(tensor).array
        for tensor in self.session.run(feeds, observe, given):
            yield self._deviated(tensor) if tensor.value in self.deviations and not tensor.occurrence else tensor

    def _inside(self, observe: Collection[str], inject: Injection) -> list[str]:
        """The deviating values that what is observed depends on, in order, where nothing is put into their place."""
        met: set[str] = set()
        stack = list(observe)
        while stack:
            maker = self.graph.producer(stack.pop())
            for value in maker.inputs if maker is not None else ():
                if value not in met and value not in inject:
                    met.add(value)
                    stack.append(value)
        return [value for value in self.deviations if value in met][:_MOST_CHAINED]

    def _deviated(self, tensor: CapturedTensor) -> CapturedTensor:
        """What the device would have given; where its deviation is no number, what it gave."""
        deviation = self.deviations[tensor.value]
        own, there = tensor.real(), self.recorded[tensor.value]()
        if deviation.shape != own.shape:
            return there
        with np.errstate(all="ignore"):
            moved = own.astype(np.float64) + deviation
        array = np.where(np.isfinite(deviation), moved, there.real())
        quantization = tensor.quantization
        if quantization is not None and quantization.scale and tensor.array.dtype.kind in "iu":
            array = quantization.quantize(array, tensor.array.dtype)
        elif tensor.array.dtype.kind in "iu":
            array = np.rint(array)
        array = array.astype(tensor.array.dtype)
        array.flags.writeable = False
        return replace(tensor, array=array)


def _is_beyond_range(own: Array, found: CapturedTensor) -> bool:
    """Whether the infinities of a tensor in float16 are what the model's own finite numbers become in that type."""
    if found.dtype.removeprefix("torch.") != "float16" or own.dtype.kind != "f":
        return False
    infinite = np.isinf(found.array)
    with np.errstate(over="ignore"):
        return bool(infinite.any()) and bool((own[infinite].astype(np.float16) == found.array[infinite]).all())


def _filled(recorded: Callable[[], CapturedTensor], own: Array) -> CapturedTensor:
    """A recorded tensor with the model's numbers in the place of its infinities."""
    found = recorded()
    array = np.where(np.isinf(found.array), own, found.array.astype(own.dtype))
    array.flags.writeable = False
    return replace(found, array=array)


def _rounded_anew(recorded: Callable[[], CapturedTensor], rng: np.random.Generator) -> CapturedTensor:
    """The numbers that codes stand for, each anywhere within its step."""
    found = recorded()
    step = max(found.quantization.scale) if found.quantization is not None else 0.0
    real = found.real()
    moved: Array = real.astype(np.float64) + rng.uniform(-step / 2, step / 2, real.shape)
    return replace(found, array=moved.astype(real.dtype), quantization=None)


def _step(found: CapturedTensor) -> float:
    quantization = found.quantization
    return 1.5 * max(quantization.scale) if quantization is not None and quantization.scale else 0.0
