"""One observed and injected run of a TFLite model, segment by segment."""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from aligner.adapters.fed import check_injected, fits_shape
from aligner.adapters.tflite_adapter.constants import load_constant, numpy_dtype
from aligner.adapters.tflite_adapter.graph import Naming, declared_shape
from aligner.adapters.tflite_adapter.patch import Cut, Patcher
from aligner.adapters.tflite_adapter.plan import Planner, Segment
from aligner.adapters.tflite_adapter.runtime import Runtime, owned
from aligner.adapters.tflite_adapter.schema import Model, element_count
from aligner.errors import ModelFormatError
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

Replacements = Mapping[int, Callable[[], Array]]
"""Tensor index → what hands over the array that its consumers shall see; called once, just before it is needed."""


@dataclass(frozen=True)
class Walk:
    """What a run needs to know of its model."""

    model: Model
    naming: Naming
    planner: Planner
    patcher: Patcher
    runtime: Runtime
    describe: Callable[[tuple[int, ...] | None, int], str]
    budget: int

    def run(
        self, feeds: Mapping[int, Array], wanted: frozenset[int], replaced: Replacements
    ) -> Iterator[tuple[int, Array]]:
        """Yield (tensor index, array) for what is wanted: constants, what is fed, then what is computed, in order."""
        main = self.model.main
        for index in sorted(wanted & self.naming.constants):
            yield index, load_constant(self.model.data, main.tensors[index])
        for index in dict.fromkeys(main.inputs):
            if index in wanted:
                yield index, owned(feeds[index].copy())
        segments = self._segments(wanted | replaced.keys())
        held = {index: array for index, array in feeds.items() if index not in replaced}
        missing = set(wanted) & set(self.naming.computed)
        for position, segment in enumerate(segments):
            if not missing:
                return
            for index, array in self._run_segment(segment, held, wanted, replaced):
                missing.discard(index)
                yield index, array
                del array
            needed = {index for later in segments[position + 1 :] for index in later.reads}
            for index in held.keys() - needed:
                del held[index]

    def _segments(self, counted: frozenset[int]) -> list[Segment]:
        if not self.patcher.divisible:
            return self.planner.segments(lambda _: 0, sys.maxsize)
        return self.planner.segments(lambda index: self._bytes(index) if index in counted else 0, self.budget)

    def _bytes(self, index: int) -> int:
        tensor = self.model.main.tensors[index]
        dtype = numpy_dtype(tensor.dtype)
        return element_count(tensor.shape) * (dtype.itemsize if dtype is not None else 0)

    def _run_segment(
        self, segment: Segment, held: dict[int, Array], wanted: frozenset[int], replaced: Replacements
    ) -> Iterator[tuple[int, Array]]:
        """Run the operators that depend on what is fed, and apart from them those on constants that are observed.

        Weights stay constants for the first kind, so the kernels are those of the untouched model.
        """
        order = {index: position for position, index in enumerate(self.naming.computed)}
        operators = self.model.main.operators
        folded = [
            index
            for number in segment.folded
            for index in operators[number].outputs
            if index in wanted and index in order
        ]
        if not self.patcher.divisible:
            return self._compute(segment, held, wanted, replaced, folded)
        live = self._compute(segment, held, wanted, replaced, [])
        return heapq.merge(self._fold(folded, replaced), live, key=lambda item: order[item[0]])

    def _compute(
        self,
        segment: Segment,
        held: dict[int, Array],
        wanted: frozenset[int],
        replaced: Replacements,
        extra: list[int],
    ) -> Iterator[tuple[int, Array]]:
        produced = frozenset(segment.produced)
        passed_on = {index for index in segment.carried if index not in replaced}
        outputs = tuple(
            i for i in self.naming.computed if i in extra or i in passed_on or (i in wanted and i in produced)
        )
        if not outputs:
            return
        twinned = tuple(
            index for index in dict.fromkeys(segment.produced) if index in segment.inner and index in replaced
        )
        reads = segment.reads if self.patcher.divisible else self.model.main.inputs
        for index in (*reads, *twinned):
            if index not in held:
                held[index] = self._replacement(index, replaced)
        fixed = self.planner.folded & replaced.keys()
        foundations = self.planner.foundations(segment.operators, fixed)
        chosen = tuple(sorted({*segment.operators, *foundations})) if self.patcher.divisible else None
        cut = Cut(reads, outputs, chosen, twinned, self._constants(chosen, fixed, replaced))
        fed = {index: held[index] for index in reads}
        fed.update({self.patcher.twin(index): held[index] for index in twinned})
        for index, array in self._execute(cut, fed, delegates=True):
            if index in passed_on:
                held[index] = array
            if index in wanted:
                yield index, array
            del array

    def _fold(self, folded: list[int], replaced: Replacements) -> Iterator[tuple[int, Array]]:
        if not folded:
            return
        fixed = self.planner.folded & replaced.keys()
        producers = {self.naming.producer[index] for index in folded}
        chosen = tuple(sorted({*producers, *self.planner.foundations(producers, fixed)}))
        cut = Cut((), tuple(folded), chosen, (), self._constants(chosen, fixed, replaced))
        yield from self._execute(cut, {}, delegates=False)

    def _constants(
        self, chosen: tuple[int, ...] | None, fixed: frozenset[int], replaced: Replacements
    ) -> dict[int, bytes]:
        operators = self.model.main.operators
        numbers = range(len(operators)) if chosen is None else chosen
        read = {index for number in numbers for index in operators[number].inputs}
        return {index: self._replacement(index, replaced).tobytes() for index in sorted(fixed & read)}

    def _execute(self, cut: Cut, fed: Mapping[int, Array], *, delegates: bool) -> Iterator[tuple[int, Array]]:
        names = partial(self.describe, cut.operators)
        content = self.patcher.cut(cut)
        return self.runtime.execute(content, fed, cut.outputs, operator_names=names, delegates=delegates)

    def _replacement(self, index: int, replaced: Replacements) -> Array:
        if index not in replaced:
            raise ModelFormatError(
                f'the tensor "{self.naming.ids[index]}" is read before anything makes it',
                found="operators in an order that contradicts what they read",
                hint="convert the model again",
            )
        tensor, array = self.model.main.tensors[index], replaced[index]()
        declared = declared_shape(tensor)
        fits = declared is None or fits_shape(array.shape, declared)
        fits = fits and array.dtype == numpy_dtype(tensor.dtype)
        wanted = f"{tensor.dtype} {'of any shape' if declared is None else list(declared)}"
        check_injected(self.naming.ids[index], array, fits=fits, wanted=wanted)
        return array
