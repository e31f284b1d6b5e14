"""Causes that only a file format can have: a recurrent node's direction and reset gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402


class Cell(torch.nn.Module):
    def __init__(self, kind: type):
        super().__init__()
        torch.manual_seed(0)
        self.cell = kind(6, 8, batch_first=True)
        self.head = torch.nn.Linear(8, 4)
        self.eval()

    def forward(self, x):
        return self.head(self.cell(x)[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "attribute", "value", "identifier"),
    [
        (torch.nn.LSTM, "direction", "reverse", "rnn-direction"),
        (torch.nn.GRU, "linear_before_reset", 0, "gru-reset-after"),
    ],
)
def test_an_attribute_of_the_cell_is_named_with_proof(tmp_path: Path, kind, attribute, value, identifier):
    model, x = Cell(kind), np.random.default_rng(0).standard_normal((2, 7, 6)).astype(np.float32)
    path = tmp_path / "cell.onnx"
    torch.onnx.export(model, (torch.from_numpy(x),), str(path), dynamo=False, opset_version=17)
    assert list(aligner.compare(model, path, x).causes) == []
    file = onnx.load(str(path))
    node = next(node for node in file.graph.node if node.op_type == kind.__name__)
    for old in [a for a in node.attribute if a.name == attribute]:
        node.attribute.remove(old)
    node.attribute.append(onnx.helper.make_attribute(attribute, value))
    onnx.save(file, str(path))
    found = aligner.compare(model, path, x).causes
    assert found[0].id == identifier, [(f.id, f.evidence) for f in found]
    assert found[0].explained is not None and found[0].explained > 0.9
    others = {"rnn-direction", "gru-reset-after", "rnn-gate-order"} - {identifier}
    assert not others & {f.id for f in found if f.explained is not None}


def test_directions_with_each_others_weights_are_named(tmp_path: Path):
    torch.manual_seed(0)
    model = torch.nn.GRU(6, 8, bidirectional=True).eval()
    x, path = np.random.default_rng(0).standard_normal((7, 2, 6)).astype(np.float32), tmp_path / "cell.onnx"
    torch.onnx.export(model, (torch.from_numpy(x),), str(path), dynamo=False, opset_version=17)
    file = onnx.load(str(path))
    node = next(node for node in file.graph.node if node.op_type == "GRU")
    for stored in file.graph.initializer:
        if stored.name in node.input[1:4]:
            turned = np.ascontiguousarray(onnx.numpy_helper.to_array(stored)[::-1])
            stored.CopyFrom(onnx.numpy_helper.from_array(turned, stored.name))
    onnx.save(file, str(path))
    first = aligner.compare(model, path, x).causes[0]
    assert (first.id, first.node) == ("rnn-direction", node.name)
    assert first.explained is not None and first.explained > 0.9
