"""What a verdict rests on: outputs before and after the culprits were mended, and the rules that spoke."""

from __future__ import annotations

import io
from pathlib import Path

from marks import requires_onnx
from rich.console import Console
from test_closed_regions import compared

from aligner.judgement.rule_page import page
from aligner.report.json_document import from_document
from aligner.report.terminal import print_comparison

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_of_rules_is_that_of_the_rules():
    assert page() == (DOCS / "verdicts.md").read_text(encoding="utf-8"), (
        "python -m aligner.judgement.rule_page > docs/verdicts.md"
    )


@requires_onnx
def test_the_culprit_alone_is_sufficient_and_necessary(tmp_path):
    result = compared("permuted_channels_with_a_fault_after")
    made = result.comparison.certificate
    assert made.sufficient and made.before > 0.1 > 1e-5 > made.after
    assert [effect.necessary for effect in made.culprits] == [True]
    assert [one.state for one in made.outputs] == ["beyond"]
    assert from_document(result.to_json()).certificate == made
    console = Console(file=io.StringIO(), width=200)
    print_comparison(result.comparison, console, full=True)
    assert "sufficient, and necessary" in console.file.getvalue()
    assert "node-introduces-error" in console.file.getvalue()
    result.to_html(tmp_path / "report.html")
    assert "sufficient, and necessary" in (tmp_path / "report.html").read_text(encoding="utf-8")


@requires_onnx
def test_outputs_that_agree_are_certified_by_where_they_stand():
    made = compared("scale_through_leaky_relu").comparison.certificate
    assert [one.state for one in made.outputs] == ["within"] and not made.culprits
