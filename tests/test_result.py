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
    assert repr(result.pairs).endswith("… 12 more)") and len(repr(result.pairs)) < 600
    assert repr(result.pairs[0].reference) == "<Side 'input.0': aten::_convolution 1×64×32×32 float32>"
    assert max(len(repr(items)) for items in result.unpaired.values()) < 600


def test_records_are_tables_in_a_notebook():
    result = Result(factory.diverged())
    every = (result.pairs, result.introduced, result.outputs, result.causes, *result.unpaired.values())
    for shown in (*every, *(items[0] for items in every if items)):
        assert shown._repr_html_().startswith(("<table", "<i>none"))
    assert result.pairs._repr_html_().count("<tr>") == 17 and ">#<" in result.pairs._repr_html_()
    assert "load the checkpoint" in result.causes[0]._repr_html_()


def test_names_in_a_notebooks_table_are_text():
    from aligner.records.comparison import Finding

    page = Finding.of("x", "<img src=a onerror=b>\u202e", "proven", "said", "do", None)._repr_html_()
    assert "<img" not in page and "\u202e" not in page
