"""The options that write reports, and align report, as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import comparison_factory as factory
import pytest
from test_preview import with_previews

from aligner.report.json_document import write_json

ALIGN = (
    "import sys\n"
    "from importlib.metadata import entry_points\n"
    "code = entry_points(group='console_scripts')['align'].load()()\n"
    "print(*sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    "sys.exit(code)\n"
)
FILES = {
    "--html": "<!doctype html>",
    "--csv": "position,verdict,first",
    "--markdown": "### ❌ DIVERGED",
    "--junit": "<?xml",
    "--sarif": "{",
    "--model-explorer": "{",
}


@pytest.fixture
def align(tmp_path):
    def run(*arguments, **environment):
        own = {name: value for name, value in os.environ.items() if not name.startswith("GITHUB")}
        return subprocess.run(
            [sys.executable, "-c", ALIGN, *map(str, arguments)],
            env={**own, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONUTF8": "1", **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=120,
        )

    write_json(with_previews(), tmp_path / "run.json")
    return run


def test_every_format_is_written_again(align, tmp_path):
    options = [word for option in FILES for word in (option, f"out{option}")]
    done = align("report", "run.json", *options)
    assert (done.returncode, done.stdout) == (0, "")
    for option, start in FILES.items():
        assert (tmp_path / f"out{option}").read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize("option", FILES)
def test_one_format_to_standard_output(align, option):
    done = align("report", "run.json", option, "-")
    assert done.returncode == 0
    assert done.stdout.startswith(FILES[option])


def test_without_a_file_the_terminal_report(align):
    assert align("report", "run.json").stdout.startswith("DIVERGED at lateral.3")
    assert len(align("report", "run.json", "--quiet").stdout.splitlines()) == 1


def test_github_is_automatic_where_the_job_says_so(align, tmp_path):
    summary = tmp_path / "summary.md"
    done = align("report", "run.json", GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert "::error file=face/decoder.py,line=45" in done.stdout
    assert summary.read_text(encoding="utf-8").startswith("### ❌ DIVERGED")
    assert "::error" not in align("report", "run.json", "--no-github", GITHUB_ACTIONS="true").stdout
    assert align("report", "run.json", "--github").stdout.startswith("::error")


@pytest.mark.parametrize("command", [["report", "run.json"], ["compare", "a.onnx", "b.onnx"], ["demo"]])
def test_a_file_that_cannot_be_written_is_known_at_once(align, command):
    done = align(*command, "--html", "missing/out.html")
    assert done.returncode == 2
    assert "cannot write missing/out.html" in done.stderr


def test_what_is_no_report(align, tmp_path):
    (tmp_path / "other.json").write_text("{}")
    for name in ("other.json", "missing.json"):
        done = align("report", name)
        assert done.returncode == 2
        assert "align compare … --json FILE" in done.stderr
        assert "Traceback" not in done.stderr


def test_help_names_the_formats_and_imports_no_template_engine(align):
    done = align("compare", "--help", ALIGNER_NO_FORK="1")
    assert all(option in done.stdout for option in (*FILES, "--github"))
    assert not {"jinja2", "numpy", "rich"} & set(done.stderr.split())


def test_the_json_of_a_run_makes_the_same_page_as_the_run(tmp_path):
    from aligner.report.html import to_html
    from aligner.report.json_document import read_json

    write_json(factory.diverged(), tmp_path / "again.json")
    assert to_html(read_json(tmp_path / "again.json")) == to_html(factory.diverged())
    assert json.loads((tmp_path / "again.json").read_text())["previews"] == []
