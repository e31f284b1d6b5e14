"""--shapes: two models at every point of a grid of sizes; the first node whose error depends on the shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aligner.api.open_models import OpenModels
from aligner.api.options import CompareOptions
from aligner.api.probing import changed_sizes
from aligner.errors import AlignerError, ComparisonError, InputError, ModelExecutionError
from aligner.execution import memory
from aligner.execution.opening import side_info
from aligner.inputs.items import PreparedFeeds, SideInfo
from aligner.inputs.sizes import points, resized, spelled
from aligner.judgement.second_input import Variant, told_apart
from aligner.judgement.written_sizes import written_sizes
from aligner.records import progress
from aligner.records.comparison import Comparison, output_error
from aligner.records.grid import GridPoint, depending


@dataclass(slots=True)
class _Resizing:
    """Changes the sizes of what both are fed, and remembers it for a side that cannot take it."""

    sizes: Mapping[str, int]
    before: PreparedFeeds | None = None
    after: PreparedFeeds | None = None

    def __call__(self, fed: PreparedFeeds, reference: SideInfo, candidate: SideInfo) -> PreparedFeeds:
        self.before, self.after = fed, resized(fed, self.sizes, reference, candidate)
        return self.after


def gridded(reference: object, candidate: object, inputs: Any, options: CompareOptions) -> Comparison:
    """The comparison at the first point that diverges, else at the first; with what every point says.

    Raises AlignerError where the reference cannot run at a point, or no point can be compared.
    """
    shapes = options.shapes or {}
    with memory.settled(), OpenModels(reference, candidate, replace(options, rehearse=False, probe=False)) as models:
        if any(side_info(side).recorded is not None for side in models.sides):
            raise ComparisonError("a recording has the sizes it was made with", hint="compare the models themselves")
        grid = _Grid(models, inputs)
        for number, sizes in enumerate(points(shapes)):
            progress.headline(f"{spelled(sizes)}, {number + 1} of {len(points(shapes))}")
            grid.visit(sizes)
        return grid.told()


class _Grid:
    """The points so far."""

    def __init__(self, models: OpenModels, inputs: Any) -> None:
        self._models, self._inputs = models, inputs
        self._points: list[GridPoint] = []
        self._found: list[Comparison] = []
        self._refused: list[tuple[_Resizing, AlignerError]] = []

    def visit(self, sizes: Mapping[str, int]) -> None:
        """Compare at one point; a candidate that cannot run there, though the reference can, diverges."""
        resizing = _Resizing(sizes)
        try:
            found = self._models.compare(self._inputs, alter=resizing)
        except (ModelExecutionError, InputError) as error:
            if resizing.after is None or not self._runs(resizing.after):
                raise type(error)(f"at {spelled(sizes)}: {error.what}", found=error.found, hint=error.hint) from error
            self._refused.append((resizing, error))
            self._points.append(GridPoint(sizes, "diverged", why=f"the candidate cannot run: {error.what}"))
            return
        self._found.append(found)
        first = found.first_divergence
        self._points.append(
            GridPoint(
                sizes,
                found.verdict,
                None if first is None else first.candidate.node,
                tuple(dict.fromkeys(pair.candidate.node for pair in found.introduced)),
                output_error(found),
            )
        )

    def _runs(self, fed: PreparedFeeds) -> bool:
        reference = self._models.sides[0]
        try:
            reference.read(fed.reference)
            reference.predict()
        except AlignerError:
            return False
        return True

    def told(self) -> Comparison:
        """One comparison for all."""
        if not self._found:
            raise self._refused[0][1]
        worst = next((one for one in self._found if one.verdict == "diverged"), None)
        first = worst or next((one for one in self._found if one.verdict != "aligned"), self._found[0])
        right = next((one for one in self._found if one.verdict == "aligned"), None)
        if worst is not None and right is not None:
            where = next(point.sizes for point in self._points if point.verdict == "diverged" and point.why is None)
            worst = told_apart(right, worst, Variant("size", spelled(where))) or worst
        shown = worst or (self._written(first) if self._refused else first)
        node = depending(tuple(self._points))
        at = next(point for point in self._points if point.verdict == shown.verdict)
        reason = shown.reason if shown.verdict == "aligned" else f"at {spelled(at.sizes)}: {shown.reason}"
        if node is not None:
            good = next(point for point in self._points if point.why is None and node not in point.erring)
            reason += f"; its error depends on the shape: {node} is right at {spelled(good.sizes)}"
        return replace(shown, reason=reason, grid=tuple(self._points), shape_dependent=node)

    def _written(self, first: Comparison) -> Comparison:
        """What is said of a candidate that does not run at some point: sizes of another one are written into it."""
        resizing, error = self._refused[0]
        assert resizing.before is not None and resizing.after is not None
        candidate = self._models.sides[1]
        sizes = changed_sizes(resizing.before, resizing.after)
        variant = Variant("size", spelled(resizing.sizes))
        message = f"{error.what} {error.found}"
        found = written_sizes(first, candidate.graph, sizes, variant, message) if sizes else None
        reason = f"the candidate cannot run at {spelled(resizing.sizes)}, which the reference can: {error.what}"
        return found or replace(first, verdict="diverged", reason=reason)
