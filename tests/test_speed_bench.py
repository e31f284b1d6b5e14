"""The speed benchmark's own arithmetic and page; nothing here is timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.page import fill
from benchmarks.speed import table
from benchmarks.speed.cases import GROUPS, QUICK, Case, cases
from benchmarks.speed.measuring import Cost, Failed, Program, alternately, once, python

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"


def some_case(folder, **changes):
    given = {"tensor": 0} | changes
    return Case("depth", "some", folder, ("networks", "chain", 1), Program(()), {"": Program(())}, **given)


def test_medians_of_programs_that_take_turns(tmp_path):
    program = Program(python("-c", 'print(\'{"wall": 2.0, "cpu": 1.0, "peak": 9, "base": 4, "written": 0}\')'), True)
    found = alternately({"plain": program, "ours": program}, 2, tmp_path / "log.txt")
    assert list(found) == ["plain", "ours"]
    assert (found["ours"].wall, found["ours"].peak, found["ours"].base) == (2.0, 9, 4)


def test_a_comparison_that_failed_is_no_measurement(tmp_path):
    with pytest.raises(Failed, match="exit code 2"):
        once(Program(python("-c", "import sys; print('why'); sys.exit(2)")), tmp_path / "log.txt")


def test_a_row_tells_ratios_and_tensors(tmp_path):
    said = {"verdict": "aligned", "pairs": 1200}
    cells = table.row(
        some_case(tmp_path, tensor=1_000_000),
        "",
        Cost(2.0, 1.0, 5_000_000),
        Cost(3.0, 2.0, 7_000_000, base=5_000_000, written=3_000_000, said=said),
    )
    assert cells[:6] == ("some", "2.00 s", "3.00 s", "1.50", "2.00", "5 MB / 7 MB")
    assert cells[6] == "aligned, 1,200 pairs; 2.0 tensors above the imports; 3 MB to disk"


def test_a_page_is_filled_between_its_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "a\n<!-- speed:depth -->\nold\n<!-- /speed:depth -->\nb\n<!-- speed:big -->\nkept\n<!-- /speed:big -->\n"
    )
    fill(page, "speed", {"depth": r"new \1"})
    assert page.read_text().splitlines() == [
        *("a", "<!-- speed:depth -->", r"new \1", "<!-- /speed:depth -->"),
        *("b", "<!-- speed:big -->", "kept", "<!-- /speed:big -->"),
    ]
    fill(tmp_path / "new.md", "speed", {"how": "so"})
    assert (tmp_path / "new.md").read_text() == "<!-- speed:how -->\nso\n<!-- /speed:how -->\n"


def test_the_page_has_a_place_for_every_table(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"<!-- speed:{name} -->" in text and f"<!-- /speed:{name} -->" in text for name in (*GROUPS, "how"))
    assert {case.group for case in cases(tmp_path, QUICK, peers=True)} == set(GROUPS)
