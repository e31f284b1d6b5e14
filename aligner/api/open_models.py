"""Two models held open, to be compared on one input after another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aligner.alignment.mapping import mapping_pairs
from aligner.api.comparison_run import ComparisonRun
from aligner.api.dumped import lend_models
from aligner.api.options import CompareOptions
from aligner.execution.clock import Clock
from aligner.execution.opening import Model, open_both
from aligner.execution.passes import Passes
from aligner.execution.side import OpenSide, Sides
from aligner.records.comparison import Comparison


class OpenModels:
    """Two models held open, to be compared on one input after another; closed when the context is left."""

    def __init__(self, reference: object, candidate: object, options: CompareOptions) -> None:
        self._targets, self._options = (reference, candidate), options
        self._sides: list[OpenSide] = []
        self._clock = Clock()
        self._last: ComparisonRun | None = None

    def __enter__(self) -> OpenModels:
        reference, candidate = self._targets
        options = self._options
        models = (
            Model("reference", reference, options.reference_options),
            Model("candidate", candidate, options.candidate_options),
        )
        pairs = mapping_pairs(options.mapping)
        try:
            with self._clock.phase("load"):
                open_both(models, options.seed, self._sides, ready=options.local != "never")
                lend_models(self._sides, pairs)
        except BaseException:
            _release(self._sides)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._last = None
        _release(self._sides)

    def compare(self, inputs: Any, **changed: Any) -> Comparison:
        """The comparison on these inputs, some options changed; the first one's timing holds the loading too."""
        reference, candidate = self._sides
        clock, self._clock = self._clock, Clock()
        options = replace(self._options, **changed)
        self._last = ComparisonRun(reference, candidate, options, clock, self._targets[1])
        return self._last.run(inputs)

    @property
    def sides(self) -> Sides:
        """The two models."""
        reference, candidate = self._sides
        return reference, candidate

    @property
    def passes(self) -> Passes | None:
        """The measurements of the last comparison, and the means to make more; None where nothing was run."""
        return self._last.done if self._last is not None else None

    def outputs(self) -> Iterator[tuple[str, Any, Any]]:
        """The paired outputs of the last comparison: candidate's name, both tensors in the reference's order."""
        if self._last is not None:
            yield from self._last.outputs()


def _release(sides: list[OpenSide]) -> None:
    circles = any(side.is_code for side in sides)
    while sides:
        sides.pop(0).close(last=not sides, circles=circles)
