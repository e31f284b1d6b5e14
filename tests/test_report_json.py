"""The JSON documents: round trip, schema, writing."""

from __future__ import annotations

import io
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import comparison_factory as factory
import json_schema
import numpy as np
import pytest

from aligner.errors import OutputError
from aligner.records.comparison import Comparison, TensorStatistics
from aligner.records.graph import Graph, InputSpec, Node, Quantization, Signature, Value, Weight
from aligner.report import graph_document, schema
from aligner.report.document_file import check_writable, write_document
from aligner.report.frame import COLUMNS, pairs_records
from aligner.report.json_document import from_document, to_document, write_json

DOCS = Path(__file__).parent.parent / "docs"
SCHEMA = json.loads((DOCS / "comparison.schema.json").read_text(encoding="utf-8"))
GRAPH_SCHEMA = json.loads((DOCS / "graph.schema.json").read_text(encoding="utf-8"))

COMPARISONS = pytest.mark.parametrize("made", [factory.diverged, factory.aligned, factory.inconclusive])


def nonfinite() -> Comparison:
    """A divergence whose numbers JSON cannot hold."""
    pair = factory.pairs()[5]
    statistics = TensorStatistics(nan=3, inf=2, unique=2, unique_head=(float("-inf"),), unique_tail=(float("inf"),))
    broken = replace(
        pair,
        verdict="nonfinite",
        candidate=replace(pair.candidate, statistics=statistics),
        accumulated=factory.errors(math.inf, cosine=math.nan, rmse=math.nan),
        local=None,
    )
    return factory.diverged(first_divergence=broken, introduced=(broken,), pairs=(broken,))


def graph() -> tuple[Graph, Signature]:
    scale = Quantization((0.5,), (3,))
    node = Node(
        index=0,
        name="conv",
        op="Conv",
        kind="conv",
        inputs=("x", "w", ""),
        outputs=("y",),
        weights=("w",),
        attributes={"pads": ((0, 1), (0, 1)), "alpha": float("nan"), "strides": (np.int64(2), 2), "mode": None},
    )
    values = {"x": Value("x", "x", (None, 3, 8, 8), "float32"), "y": Value("y", "out", (1, 4), "float32", 7, scale)}
    weights = {"w": Weight("w", (4, 3), "float32", load=lambda: pytest.fail("a weight was loaded"))}
    signature = Signature((InputSpec("x", (None, 3, 8, 8), "float32"),), ("y",))
    return Graph("onnx", (node,), values, weights, ("x",), ("y",), notes=("a note",)), signature


@COMPARISONS
def test_round_trip(made):
    comparison = made()
    text = json.dumps(to_document(comparison), allow_nan=False)
    assert from_document(json.loads(text)) == comparison


@COMPARISONS
def test_follows_schema(made):
    assert json_schema.faults(to_document(made()), SCHEMA) == []


def test_keys_of_the_contract():
    document = to_document(factory.diverged())
    assert list(document)[:3] == ["format", "verdict", "reason"]
    assert document["format"] == "aligner.comparison/1"
    pair = document["first_divergence"]
    side = "name names op kind node index scope source shape dtype mean min max unique unique_head unique_tail nan inf"
    assert list(pair["candidate"]) == side.split()
    assert list(pair["local"]) == "max_abs mean_abs sum_abs rmse max_rel cosine worst_index beyond".split()
    assert list(document["unpaired"]["candidate"][0]) == [*side.split(), "reason"]


def test_what_is_not_finite_is_null_and_stays_so():
    document = to_document(nonfinite())
    text = json.dumps(document, allow_nan=False)
    assert json_schema.faults(document, SCHEMA) == []
    assert document["first_divergence"]["accumulated"]["max_abs"] is None
    assert document["first_divergence"]["candidate"]["unique_head"] == [None]
    again = from_document(json.loads(text))
    assert math.isnan(again.first_divergence.accumulated.max_abs)
    assert to_document(again) == document


def test_a_pair_named_twice_is_one_record():
    again = from_document(json.loads(json.dumps(to_document(nonfinite()))))
    assert again.first_divergence is again.pairs[0] is again.introduced[0]


def test_numpy_scalars_are_numbers():
    pair = replace(factory.pairs()[0], confidence=np.float32(0.5), bound=np.float64(1.5), axes=tuple(np.arange(2)))
    document = to_document(factory.diverged(pairs=(pair,)))
    assert json.loads(json.dumps(document))["pairs"][0]["axes"] == [0, 1]
    assert document["pairs"][0]["confidence"] == 0.5


def test_keys_of_later_versions_are_ignored():
    document = to_document(factory.diverged())
    document["later"] = document["reference"]["later"] = document["pairs"][0]["candidate"]["later"] = 1
    assert from_document(document) == factory.diverged()


@pytest.mark.parametrize(
    "document", [{}, {"format": "aligner.comparison/2"}, {"format": "aligner.comparison/1", "verdict": "aligned"}, []]
)
def test_other_documents_are_refused(document):
    with pytest.raises(OutputError) as caught:
        from_document(document)
    assert "align compare" in caught.value.hint


def test_writes_a_file(tmp_path):
    target = tmp_path / "report.json"
    write_json(factory.diverged(), target)
    assert from_document(json.loads(target.read_text(encoding="ascii"))) == factory.diverged()
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_writes_to_a_stream():
    stream = io.StringIO()
    write_json(factory.aligned(reason="\ud800é"), stream)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue())["verdict"] == "aligned"


def test_replaces_a_file_and_keeps_its_mode_and_links(tmp_path):
    target, link = tmp_path / "report.json", tmp_path / "link.json"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    write_document({"a": 1}, link)
    assert link.is_symlink()
    assert json.loads(target.read_text()) == {"a": 1}
    assert target.stat().st_mode & 0o777 == 0o640


def test_writes_to_a_device():
    write_document({"a": 1}, Path(os.devnull))
    assert not Path(os.devnull).is_file()


def test_unwritable_targets(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "missing" / "a.json", tmp_path / "file" / "a.json", Path("a\0b")):
        with pytest.raises(OutputError) as caught:
            write_document({"a": 1}, target)
        assert caught.value.found
        assert caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_unwritable_targets_are_known_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    for target in (tmp_path, tmp_path / "missing" / "a.json", tmp_path / "file" / "a.json"):
        with pytest.raises(OutputError):
            check_writable(target)
    check_writable(tmp_path / "new.json")
    check_writable(Path(os.devnull))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_nothing_half_written(tmp_path, monkeypatch):
    target = tmp_path / "report.json"
    target.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"report\.json"):
        write_document({"a": 1}, target)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
    assert target.read_text() == "old"


def test_graph_document():
    document = graph_document.to_document(*graph(), "model.onnx", "onnxruntime 1")
    json.dumps(document, allow_nan=False)
    assert json_schema.faults(document, GRAPH_SCHEMA) == []
    (node,) = document["nodes"]
    assert node["attributes"] == {"pads": [[0, 1], [0, 1]], "alpha": None, "strides": [2, 2], "mode": None}
    assert node["values"][0]["name"] == "out"
    assert document["outputs"][0]["quantization"] == {"scale": [0.5], "zero_point": [3], "axis": None}


def test_tidy_rows():
    rows = pairs_records(factory.diverged())
    assert all(tuple(row) == COLUMNS for row in rows)
    assert [row["position"] for row in rows if row["first"]] == [6]
    assert [row["position"] for row in rows if row["output"]] == [16]
    assert rows[5]["local_max_abs"] == 0.4123
    assert rows[5]["candidate_name"] == "/lateral/3/Conv_output_0"


def test_rows_become_a_frame():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame.from_records(pairs_records(nonfinite()), columns=list(COLUMNS))
    assert frame.loc[0, "local_max_abs"] is None or math.isnan(frame.loc[0, "local_max_abs"])
    assert "accumulated_rmse" in frame.to_csv()


def test_the_published_schema_is_that_of_the_records():
    assert schema.text() == (DOCS / "comparison.schema.json").read_text(encoding="utf-8"), (
        "python -m aligner.report.schema > docs/comparison.schema.json"
    )


def test_a_report_of_version_0_1_can_be_read():
    """What the first version wrote; keys and numbers that came later take their defaults."""
    old = json.loads((Path(__file__).parent / "data" / "comparison_of_0_1.json").read_text(encoding="utf-8"))
    comparison = from_document(old)
    assert comparison.verdict == "diverged"
    assert json_schema.faults(old, SCHEMA) == []
    again = to_document(comparison)
    assert {key: again[key] for key in old} == old


@pytest.mark.parametrize(
    ("where", "value"),
    [("verdict", 3), ("reason", None), ("pairs", [1]), ("causes", [{"id": "x"}]), ("coverage", {"reference": "all"})],
)
def test_a_key_of_another_type_is_refused(where, value):
    document = to_document(factory.diverged()) | {where: value}
    with pytest.raises(OutputError, match=r"does not follow aligner\.comparison/1"):
        from_document(document)
