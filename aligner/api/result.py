"""The answer as Python users hold it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.errors import InputError, MissingFrameworkError, listing
from aligner.records.comparison import Comparison, Coverage, Finding, Pair, Unpaired
from aligner.records.notebook_table import Numbered, Records

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from aligner.report.notebook import PairView


class Result:
    """A comparison with its faces: attributes for tests, a table for pandas, a document for machines."""

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    @property
    def verdict(self) -> str:
        """ "aligned", "diverged" or "inconclusive"."""
        return self.comparison.verdict

    @property
    def exit_code(self) -> int:
        """0 aligned, 1 diverged, 3 inconclusive."""
        return self.comparison.exit_code

    @property
    def first_divergence(self) -> Pair | None:
        """The first pair, in the candidate's order, whose own node is wrong."""
        return self.comparison.first_divergence

    @property
    def introduced(self) -> tuple[Pair, ...]:
        """Every pair whose own node is wrong, upstream first."""
        return Records(self.comparison.introduced)

    @property
    def causes(self) -> tuple[Finding, ...]:
        """Why, best first."""
        return Records(self.comparison.causes)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, in the candidate's execution order."""
        return Numbered(self.comparison.pairs)

    @property
    def outputs(self) -> tuple[Pair, ...]:
        """The models' outputs, held against ``atol`` and ``rtol``."""
        return Records(self.comparison.outputs)

    @property
    def unpaired(self) -> dict[str, tuple[Unpaired, ...]]:
        """Tensors of each side ("reference", "candidate") without an answer, and why."""
        sides = self.comparison.unpaired_reference, self.comparison.unpaired_candidate
        return {side: Records(items) for side, items in zip(("reference", "candidate"), sides, strict=True)}

    @property
    def coverage(self) -> Coverage:
        """Which share of the tensors found its answer."""
        return self.comparison.coverage

    def to_markdown(self, path: Path | str | None = None) -> str:
        """The report as GitHub-flavoured Markdown; also written to ``path`` when given.

        Raises OutputError when the file cannot be written.
        """
        from aligner.report.markdown import to_markdown, write_markdown

        if path is not None:
            write_markdown(self.comparison, Path(path))
        return to_markdown(self.comparison)

    def to_json(self, path: Path | str | None = None) -> dict[str, Any]:
        """The ``aligner.comparison/1`` document; also written to ``path`` when given.

        Raises OutputError when the file cannot be written.
        """
        from aligner.report.json_document import to_document, write_json

        if path is not None:
            write_json(self.comparison, Path(path))
        return to_document(self.comparison)

    def to_frame(self) -> pandas.DataFrame:
        """One row for each pair; columns as in ``aligner.report.frame``."""
        try:
            import pandas as pd
        except ImportError as exc:
            raise MissingFrameworkError(
                "a table needs pandas, which is not installed", found=str(exc), hint='pip install "aligner[notebook]"'
            ) from exc
        from aligner.report.frame import pairs_records

        frame: pandas.DataFrame = pd.DataFrame(pairs_records(self.comparison))
        return frame

    def to_html(self, path: Path | str) -> None:
        """Write one HTML page that opens offline. Raises OutputError when the file cannot be written."""
        from aligner.report.html import write_html

        write_html(self.comparison, Path(path))

    def show(self, pair: Pair | int | str | None = None) -> PairView:
        """One pair with its numbers and pictures: a record, its number, its id, or a tensor's name.

        The number is that of every report: the first is 1, the last also -1.
        None shows the first divergence. Raises InputError where there is no such pair.
        """
        from aligner.report.notebook import PairView

        return PairView(self.comparison, self._pair(pair))

    def _pair(self, wanted: Pair | int | str | None) -> Pair:
        pairs = self.pairs
        if isinstance(wanted, Pair):
            return wanted
        if wanted is None:
            if self.first_divergence is None:
                raise InputError("there is no first divergence to show", hint=f"name a pair, 1 to {len(pairs)}")
            return self.first_divergence
        if isinstance(wanted, int):
            if not 1 <= abs(wanted) <= len(pairs):
                raise InputError(f"there is no pair {wanted}", found=f"{len(pairs)} pairs", hint="count from 1")
            return pairs[wanted - 1 if wanted > 0 else wanted]
        for pair in pairs:
            if wanted == pair.id:
                return pair
            for side in (pair.reference, pair.candidate):
                if wanted in (side.name, side.node, side.scope, *side.names):
                    return pair
        near = [pair.candidate.name for pair in pairs if wanted.lower() in pair.candidate.name.lower()]
        hint = "names are those of to_frame(): reference_name, candidate_name, their nodes and modules"
        raise InputError(
            f"no pair is called {wanted!r}", found=f"similar: {listing(near)}" if near else None, hint=hint
        )

    def plot(self) -> Figure:
        """The errors of all pairs as a matplotlib figure. Raises MissingFrameworkError without matplotlib."""
        from aligner.report.plot import plot

        return plot(self.comparison)

    def _repr_html_(self) -> str:
        from aligner.report.notebook import comparison_html

        return comparison_html(self.comparison)

    def save_map(self, path: Path | str) -> None:
        """Write the pairing as CSV (reference name, candidate name); ``mapping=path`` takes it, edited or not.

        Raises OutputError when the file cannot be written.
        """
        from aligner.api.mapping_file import write_mapping

        write_mapping(self.comparison.mapping, Path(path))

    def __repr__(self) -> str:
        return f"<aligner.Result {self.verdict}: {self.comparison.reason}>"
