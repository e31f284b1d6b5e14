"""What a Python user holds after a comparison."""

from __future__ import annotations

import comparison_factory as factory

from aligner.api.result import Result


def test_its_parts_are_those_of_the_report(tmp_path):
    result = Result(factory.diverged())
    assert result.outputs == result.comparison.outputs
    assert set(result.unpaired) == {"reference", "candidate"} and result.unpaired["candidate"]
    assert 0 < result.coverage.candidate <= 1
    text = result.to_markdown(tmp_path / "report.md")
    assert text == (tmp_path / "report.md").read_text(encoding="utf-8") and "weights-never-loaded" in text


def test_records_are_short_in_a_console():
    result = Result(factory.diverged())
    assert repr(result.first_divergence) == (
        "<Pair 'input.5' → '/lateral/3/Conv_output_0': introduced; local 0.412, accumulated 0.412>"
    )
    assert repr(result.causes[0]).startswith("<Finding weights-never-loaded at '/lateral/3/Conv': explains 0.9")
    assert max(len(line) for line in repr(result).splitlines()) < 400
