"""What files tell is told before a model is loaded: a factory here leaves a mark where it is called."""

from __future__ import annotations

import command
import numpy as np
import pytest
from marks import requires_onnx, requires_torch

pytestmark = requires_torch

FACTORY = """
from pathlib import Path
from torch import nn
def build():
    Path("loaded").touch()
    return nn.Linear(3, 3)
"""


@pytest.fixture
def align(tmp_path, capfd, monkeypatch):
    (tmp_path / "f.py").write_text(FACTORY)
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    np.save(tmp_path / "nan.npy", np.full((1, 3), np.nan, np.float32))
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00{")
    (tmp_path / "broken.onnx").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.yaml").write_text("{")
    (tmp_path / "empty.json").write_text("[]")
    (tmp_path / "words.txt").write_text("one two")
    (tmp_path / "ragged.json").write_text("[[1, 2], [3]]")
    return command.Shell(tmp_path, capfd, monkeypatch)


COMPARE = "compare f.py:build f.py:build"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (f"{COMPARE} -i missing.npy", "cannot read --input missing.npy"),
        (f"{COMPARE} -i x=broken.npy", "broken.npy"),
        (f"{COMPARE} -i x=nan.npy", "contains NaN"),
        (f"{COMPARE} -i x=empty.json", "is empty"),
        (f"{COMPARE} -i x=words.txt", "numbers alone"),
        (f"{COMPARE} -i x=ragged.json", "not an array"),
        (f"{COMPARE} -i x.npy --map broken.yaml", "is not YAML"),
        (f"{COMPARE} -i x.npy --map missing.csv", "missing.csv"),
        (f"{COMPARE} -i x.npy --candidate-weights missing.pth", "the checkpoint missing.pth does not exist"),
        (f"{COMPARE} -i x.npy --json no/where.json", "no/where.json"),
        (f"{COMPARE} -i x.npy --dtype float99", "a dtype that cannot be fed"),
        (f"{COMPARE} -i x.npy --provider cuda", "provider cuda means nothing to these models"),
        (f"{COMPARE} -i x.npy --signature main", "it is for tensorflow"),
        (f"{COMPARE} -i x.npy --shapes batch=0", "--shapes batch=1,4"),
        ("compare f.py:build folder -i x.npy", "is a directory"),
        ("fix f.py:build broken.onnx -i x.npy -o fixed.tflite", "another kind of file"),
        ("sweep f.py:build f.py:build --inputs x.npy --worst w --html w/sample_0.html", "the folder of --worst"),
        ("compare f.py:build missing.onnx -i x.npy", "missing.onnx does not exist"),
        ("match f.py:build missing.onnx", "missing.onnx does not exist"),
        ("match f.py:build f.py:build --map broken.yaml", "is not YAML"),
        ("weights f.py:build f.py:build --reference-weights missing.pth", "missing.pth does not exist"),
        ("inspect f.py:build -i x=nan.npy", "contains NaN"),
        ("capture f.py:build -i x=broken.npy -o o.npz", "broken.npy"),
        ("capture f.py:build -i x.npy -o o.txt", 'the suffix ".txt"'),
        ("capture f.py:build -i x.npy -o no/o.npz", "there is no folder"),
        ("capture f.py:build -i x.npy -o x.npy --format npy", "overwrite"),
        ("sweep f.py:build f.py:build --dataset x.npy --worst x.npy/pages", "x.npy is no folder"),
        ("instrument f.py:build -o t.pt --recorder words.txt", "words.txt is no folder"),
    ],
)
def test_no_model_is_loaded(align, tmp_path, words, says):
    align.refused(*words.split(), says=(says,))
    assert not (tmp_path / "loaded").exists()


@requires_onnx
@pytest.mark.parametrize(
    ("file", "content"),
    [("t.json", "[[5, 6]]"), ("t.json", '{"ids": [[5, 6]]}'), ("t.txt", "5 6\n"), ("t.txt", "5, 6"), (None, "[[5,6]]")],
)
def test_token_ids(align, tmp_path, file, content):
    import onnx
    from onnx import helper

    value = helper.make_tensor_value_info
    ids, out = value("ids", onnx.TensorProto.INT64, [1, 2]), value("y", onnx.TensorProto.INT64, [1, 2])
    graph = helper.make_graph([helper.make_node("Abs", ["ids"], ["y"])], "g", [ids], [out])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    if file is not None:
        (tmp_path / file).write_text(content)
    outcome = align("capture", "m.onnx", "-i", f"ids={file or content}", "-o", "o.npz")
    assert outcome.code == 0, outcome
    with np.load(tmp_path / "o.npz") as recorded:
        assert recorded["y"].tolist() == [[5, 6]]
        assert recorded["y"].dtype == np.int64
