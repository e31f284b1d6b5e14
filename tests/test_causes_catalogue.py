"""The page of causes is made from them, and the command prints what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from aligner.causes.catalogue import catalogue, text
from aligner.cli.commands import cli

PAGE = Path(__file__).parent.parent / "docs" / "causes.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == text(), "python -m aligner.causes.catalogue > docs/causes.md"


def test_every_cause_says_what_it_is_and_what_helps():
    for one in catalogue():
        assert all(one.what) and all(one.shown) and one.fix and one.example


@pytest.mark.parametrize("identifier", ["attention-mask", "unknown"])
def test_a_cause_is_explained(identifier):
    result = CliRunner().invoke(cli, ["explain", identifier])
    assert result.exit_code == 0
    assert "what helps" in result.output


def test_without_a_name_all_are_listed():
    result = CliRunner().invoke(cli, ["explain"])
    assert "norm-epsilon" in result.output and "weights-not-loaded" in result.output


def test_a_cause_that_is_none_says_which_are_near():
    result = CliRunner().invoke(cli, ["explain", "norm-epsilom"])
    assert result.exit_code != 0
    assert "norm-epsilon" in result.exception.found
