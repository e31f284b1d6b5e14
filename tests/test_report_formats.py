"""Reports for machines and for issues: golden files, names that would harm, and what each format's readers ask for."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import comparison_factory as factory
import golden_file
import pytest
from hostile_comparison import EVIL, hostile

from aligner.errors import OutputError
from aligner.report.csv_table import to_csv, write_csv
from aligner.report.frame import COLUMNS
from aligner.report.github import workflow_commands, write_summary
from aligner.report.json_document import read_json, to_document, write_json
from aligner.report.junit import to_junit, write_junit
from aligner.report.markdown import to_markdown, write_markdown
from aligner.report.model_explorer import to_node_data, write_node_data
from aligner.report.portable import portable
from aligner.report.sarif import to_sarif, write_sarif

FORMATS = {
    "json": lambda comparison: json.dumps(to_document(comparison), indent=1) + "\n",
    "csv": to_csv,
    "md": to_markdown,
    "junit.xml": to_junit,
    "sarif": lambda comparison: json.dumps(to_sarif(comparison), indent=1) + "\n",
    "github.txt": workflow_commands,
    "node_data.json": lambda comparison: json.dumps(to_node_data(comparison, "local"), indent=1) + "\n",
}
WRITERS = (write_csv, write_markdown, write_junit, write_sarif, write_node_data, write_json)


@pytest.mark.parametrize("suffix", FORMATS)
def test_golden(suffix, request):
    golden_file.check(f"diverged.{suffix}", FORMATS[suffix](factory.diverged()), request)


@pytest.mark.parametrize("suffix", ["md", "junit.xml", "github.txt"])
@pytest.mark.parametrize("made", [factory.aligned, factory.inconclusive])
def test_golden_of_other_verdicts(suffix, made, request):
    golden_file.check(f"{made.__name__}.{suffix}", FORMATS[suffix](made()), request)


@pytest.mark.parametrize("suffix", FORMATS)
def test_twice_the_same(suffix):
    assert FORMATS[suffix](factory.diverged()) == FORMATS[suffix](factory.diverged())


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("made", [factory.diverged, factory.aligned, factory.inconclusive, hostile])
def test_written_to_file_and_stream(write, made, tmp_path):
    target, stream = tmp_path / "report.x", io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="")
    write(made(), target)
    write(made(), stream)
    stream.flush()
    assert target.read_bytes()
    assert stream.buffer.getvalue().isascii()
    with pytest.raises(OutputError):
        write(made(), tmp_path / "missing" / "report.x")


# ----------------------------------------------------------------------------------------------------------- paths


def test_absolute_paths_become_relative_or_bare(tmp_path):
    inside, outside = f"{tmp_path}/models/face.pt", "/home/someone/face.onnx"
    comparison = factory.diverged(
        reference=replace(factory.diverged().reference, path=inside),
        candidate=replace(factory.diverged().candidate, path=outside, notes=(f"{outside} is old",)),
        command=f"align compare {inside} {outside} --input image=/data/a.png",
        notes=(f"read {outside}",),
    )
    pair = replace(comparison.pairs[5], reference=replace(comparison.pairs[5].reference, source="/home/x/net.py:7"))
    moved = portable(replace(comparison, pairs=(pair,), first_divergence=pair, introduced=(pair,)), tmp_path)
    assert moved.reference.path == "models/face.pt"
    assert moved.candidate.path == "face.onnx"
    assert moved.candidate.notes == ("face.onnx is old",)
    assert moved.notes == ("read face.onnx",)
    assert moved.command == "align compare models/face.pt face.onnx --input image=a.png"
    assert moved.first_divergence is moved.pairs[0] is moved.introduced[0]
    assert moved.pairs[0].reference.source == "net.py:7"
    assert moved.pairs[0].candidate.name.startswith("/"), "a node's name is no path"


def test_windows_paths_too():
    comparison = factory.diverged(candidate=replace(factory.diverged().candidate, path=r"C:\models\face.onnx"))
    assert portable(comparison).candidate.path == "face.onnx"


# ------------------------------------------------------------------------------------------------------------- csv


def test_csv_has_the_columns_of_the_frame():
    rows = list(csv.DictReader(io.StringIO(to_csv(factory.diverged()))))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == len(factory.diverged().pairs)
    assert rows[5]["first"] == "true"
    assert rows[5]["candidate_shape"] == "1x64x32x32"
    assert float(rows[5]["local_max_abs"]) == 0.4123


def test_every_column_is_documented():
    text = (Path(__file__).parent.parent / "docs" / "reports.md").read_text(encoding="utf-8")
    shared = {name for name in COLUMNS if name.startswith(("candidate_", "local_"))}
    assert [name for name in COLUMNS if name not in shared and f"`{name}`" not in text] == []


def test_csv_runs_no_formula():
    pair = factory.pairs()[0]
    for name in ("=HYPERLINK(1)", " @SUM(1)", "＝1"):
        named = replace(pair, candidate=replace(pair.candidate, name=name))
        (row,) = csv.DictReader(io.StringIO(to_csv(factory.diverged(pairs=(named,)))))
        assert row["candidate_name"] == f"'{name}"
    assert row["reference_min"] == "-1.25"


def test_csv_keeps_hostile_names_in_their_cell():
    rows = list(csv.reader(io.StringIO(to_csv(hostile()))))
    assert {len(row) for row in rows} == {len(COLUMNS)}


# -------------------------------------------------------------------------------------------------------- markdown


def test_markdown_leads_with_node_cause_and_cure():
    text = to_markdown(factory.diverged())
    head = text[: text.index("####")]
    assert "DIVERGED at `lateral.3` (Conv)" in head.splitlines()[0]
    assert "weights-never-loaded" in head
    assert "load the checkpoint" in head


def test_markdown_lets_no_name_out():
    text = to_markdown(hostile())
    outside = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", text)  # what is not in a code span
    for markup in ("<script", "<img", "<!--"):
        assert not re.search(rf"(?<!\\){markup}", outside)
    assert not re.search(r"[@#](?=\w)", outside.replace("####", ""))
    assert "](javascript" not in outside.replace("\\]", "")
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ▶")]
    assert cells == [9]


# ----------------------------------------------------------------------------------------------------------- junit


def test_junit_fails_where_the_fault_is():
    root = ElementTree.fromstring(to_junit(factory.diverged()))
    pairs = root.find("testsuite[@name='aligner.pairs']")
    failing = [case for case in pairs.iter("testcase") if case.find("failure") is not None]
    assert [case.get("name").split()[0] for case in failing] == ["6", "15"]
    assert failing[0].get("file") == "face/decoder.py"
    assert pairs.get("skipped") == "9"
    assert root.find("testsuite[@name='aligner.verdict']/testcase/failure") is not None
    assert root.get("tests") == str(1 + 1 + 16)


def test_junit_of_what_is_aligned_has_no_failure():
    root = ElementTree.fromstring(to_junit(factory.aligned()))
    assert (root.get("failures"), root.get("errors"), root.get("skipped")) == ("0", "0", "0")


def test_junit_of_what_is_inconclusive_is_an_error():
    assert ElementTree.fromstring(to_junit(factory.inconclusive())).get("errors") == "1"


def test_junit_of_hostile_names_is_xml():
    root = ElementTree.fromstring(to_junit(hostile()))
    assert root.find(".//script") is None


# ----------------------------------------------------------------------------------------------------------- sarif


def test_sarif_points_at_lines():
    (run,) = to_sarif(factory.diverged())["runs"]
    first, second = run["results"]
    assert first["level"] == "error"
    assert second["level"] == "warning"
    where = first["locations"][0]["physicalLocation"]
    assert where == {"artifactLocation": {"uri": "face/decoder.py"}, "region": {"startLine": 45}}
    assert {rule["id"] for rule in run["tool"]["driver"]["rules"]} == {"introduced"}


def test_sarif_without_a_source_names_the_model():
    pair = factory.pairs()[5]
    bare = replace(pair, reference=replace(pair.reference, source=None))
    (run,) = to_sarif(factory.diverged(introduced=(bare,), first_divergence=bare))["runs"]
    assert run["results"][0]["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "face.onnx"}}


def test_sarif_of_other_verdicts():
    assert to_sarif(factory.aligned())["runs"][0]["results"] == []
    assert to_sarif(factory.inconclusive())["runs"][0]["results"][0]["ruleId"] == "inconclusive"
    nobody = factory.diverged(introduced=(), first_divergence=None)
    assert to_sarif(nobody)["runs"][0]["results"][0]["ruleId"] == "output"


def test_sarif_uris_are_uris():
    for result in to_sarif(hostile())["runs"][0]["results"]:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"[\w%./~-]+", uri, re.ASCII)


# ---------------------------------------------------------------------------------------------------------- github


def test_github_commands_stay_within_their_line():
    lines = workflow_commands(hostile()).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("::error ")
    assert lines[0].isprintable()


def test_github_shows_ten_at_most():
    many = factory.pairs()[5:6] * 30
    introduced = tuple(replace(pair, note=str(place)) for place, pair in enumerate(many))
    comparison = factory.diverged(pairs=introduced, introduced=introduced, first_divergence=introduced[0])
    lines = workflow_commands(comparison).splitlines()
    assert [line.split()[0] for line in lines] == ["::error"] + ["::warning"] * 9


def test_summary_is_appended_and_bounded(tmp_path):
    path = tmp_path / "summary.md"
    path.write_text("before\n")
    write_summary(factory.diverged(), path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n### ❌ DIVERGED")
    path.write_bytes(b"x" * 1024 * 1024)
    write_summary(factory.diverged(), path)
    assert path.stat().st_size == 1024 * 1024
    with pytest.raises(OutputError):
        write_summary(factory.diverged(), tmp_path)


# -------------------------------------------------------------------------------------------------- model explorer


def test_node_data_names_tensors_and_nodes():
    data = to_node_data(factory.diverged(), "local")
    assert set(data) == {"name", "results"}
    assert data["results"]["/lateral/3/Conv"] == data["results"]["/lateral/3/Conv_output_0"]
    assert data["results"]["/lateral/3/Conv"]["value"] == 0.4123


def test_node_data_writes_both_errors(tmp_path):
    write_node_data(factory.diverged(), tmp_path / "overlay.json")
    local, accumulated = (
        json.loads((tmp_path / name).read_text()) for name in ("overlay.json", "overlay.accumulated.json")
    )
    assert local["results"]["/to_rgb/Conv"]["value"] == 0.021
    assert accumulated["results"]["/to_rgb/Conv"]["value"] == 0.8


def test_node_data_holds_only_json():
    pair = replace(factory.pairs()[5], local=factory.errors(math.inf))
    json.dumps(to_node_data(factory.diverged(pairs=(pair,)), "local"), allow_nan=False)


def test_node_data_is_what_model_explorer_takes():
    builder = pytest.importorskip("model_explorer.node_data_builder")
    data = to_node_data(factory.diverged(), "local")
    results = {key: builder.NodeDataResult(**entry) for key, entry in data["results"].items()}
    theirs = builder.GraphNodeData(results=results, name=data["name"])
    written = json.loads(theirs.to_json_string() if hasattr(theirs, "to_json_string") else "{}")
    assert {key: written.get(key, data[key]) for key in data} == data


# ---------------------------------------------------------------------------------------------------- read again


def test_a_json_report_is_read_again(tmp_path):
    write_json(factory.diverged(), tmp_path / "run.json")
    assert read_json(tmp_path / "run.json") == factory.diverged()


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000, "\x80"])
def test_what_is_no_report_is_refused(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OutputError) as caught:
        read_json(path)
    assert "--json" in caught.value.hint


def test_a_missing_report_is_refused():
    with pytest.raises(OutputError):
        read_json(Path("missing.json"))


def test_evil_is_evil():
    assert "<script>" in EVIL
