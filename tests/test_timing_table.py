"""``--timing``: which phase took how long."""

from __future__ import annotations

import comparison_factory as factory
import pytest
from command import Shell
from test_report_terminal import page, printed

from aligner.report.json_document import write_json
from aligner.report.timing_table import print_timing, timing_rows


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


def test_rows_add_up_to_the_total():
    rows = timing_rows({"load": 1.0, "align": 0.5, "total": 2.0})
    assert rows == [("load", 1.0, 0.5), ("align", 0.5, 0.25), ("between phases", 0.5, 0.25), ("total", 2.0, 1.0)]
    assert timing_rows({"align": 3.0, "run": 1.0})[-1] == ("total", 4.0, 1.0)
    assert timing_rows({}) == []


def test_names_from_a_file_obey_nothing():
    console = page(80)
    print_timing(factory.diverged(timing={"[bold]x\x1b[31m": 1.0}), console)
    assert "\x1b" not in (text := printed(console))
    assert "[bold]x" in text


def test_the_option_adds_a_table_below_the_report(shell, tmp_path):
    write_json(factory.diverged(timing={"load": 0.25, "total": 1.0}), tmp_path / "run.json")
    plain, timed = shell("report", "run.json").out, shell("report", "run.json", "--timing").out
    assert timed.startswith(plain)
    added = " ".join(timed[len(plain) :].split())
    assert added.startswith("seconds by phase phase seconds share")
    assert "load 0.25 25% between phases 0.75 75% total 1.00 100%" in added


def test_compare_has_the_option_and_standard_output_stays_json(shell, tmp_path):
    write_json(factory.diverged(), tmp_path / "run.json")
    assert "--timing" in shell("compare", "--help").out
    assert "seconds by phase" not in shell("report", "run.json", "--csv", "-", "--timing").out
