"""The answer as Python users hold it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aligner.errors import MissingFrameworkError
from aligner.records.comparison import Comparison, Finding, Pair

if TYPE_CHECKING:
    import pandas


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
        return self.comparison.introduced

    @property
    def causes(self) -> tuple[Finding, ...]:
        """Why, best first."""
        return self.comparison.causes

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, in the candidate's execution order."""
        return self.comparison.pairs

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
                "a table needs pandas, which is not installed", hint='pip install "aligner[notebook]"'
            ) from exc
        from aligner.report.frame import pairs_records

        frame: pandas.DataFrame = pd.DataFrame(pairs_records(self.comparison))
        return frame

    def __repr__(self) -> str:
        return f"<aligner.Result {self.verdict}: {self.comparison.reason}>"
