"""--shapes: both models at a grid of sizes; what depends on the shape is named."""

from __future__ import annotations

import json

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402
from aligner.errors import ComparisonError, InputError  # noqa: E402
from aligner.inputs.sizes import points  # noqa: E402
from tests.command import Shell  # noqa: E402


class Mixer(torch.nn.Module):
    """Scales by the length; ``baked`` keeps that of the example that the export was made with."""

    def __init__(self, baked=None, reshape=False):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.baked, self.reshape = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3), baked, reshape

    def forward(self, x):
        many = x.shape[1] if self.baked is None else self.baked
        y = torch.relu(self.one(x)) / many
        if self.reshape:
            y = y.reshape(-1, 8, 4)
        return self.two(y)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sizes")
    for name, model in (("right", Mixer()), ("baked", Mixer(8.0)), ("written", Mixer(reshape=True))):
        torch.onnx.export(
            model.eval(), (torch.zeros(2, 8, 4),), folder / f"{name}.onnx", dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "batch", 1: "tokens"}},
        )  # fmt: skip
    return folder


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    return Shell(tmp_path, capfd, monkeypatch)


def test_every_point_agrees(files):
    found = aligner.compare(Mixer().eval(), str(files / "right.onnx"), shapes={"batch": (1, 3), "seq": (5, 8)})
    assert [point.verdict for point in found.comparison.grid] == ["aligned"] * 4
    assert [dict(point.sizes) for point in found.comparison.grid] == points({"batch": (1, 3), "seq": (5, 8)})
    assert (found.verdict, found.comparison.shape_dependent) == ("aligned", None)


def test_a_length_that_was_traced_in(files):
    found = aligner.compare(str(files / "right.onnx"), str(files / "baked.onnx"), shapes={"seq": (8, 16)}).comparison
    assert [point.verdict for point in found.grid] == ["aligned", "diverged"]
    assert found.shape_dependent == "/Div"
    assert "/Div is right at seq=8" in found.reason


def test_a_candidate_that_cannot_run(files):
    found = aligner.compare(Mixer(reshape=False).eval(), str(files / "written.onnx"), shapes={"tokens": (8, 9)})
    assert [point.verdict for point in found.comparison.grid] == ["aligned", "diverged"]
    assert found.comparison.grid[1].why
    assert found.verdict == "diverged"


def test_the_command(files, shell):
    words = ("compare", files / "right.onnx", files / "baked.onnx")
    said = shell(*words, "--shapes", "batch=1,2", "tokens=8,16", "--json", "run.json")
    assert said.code == 1, said.err
    assert "/Div" in said.out
    document = json.loads((shell.folder / "run.json").read_text())
    assert [point["sizes"] for point in document["grid"]] == points({"batch": (1, 2), "tokens": (8, 16)})
    shell.refused(*words, "--shapes", "depth=1,2", says=("depth",))
    assert shell(*words, "--shapes", "batch").code == 2
    assert "no name and sizes" in shell(*words, "--shapes", "").err
    shell.refused(*words, "--model-explorer", ".", says=("it is a folder",))


def test_sizes_that_are_none(files):
    with pytest.raises(ComparisonError, match="whole numbers"):
        aligner.compare(str(files / "right.onnx"), str(files / "right.onnx"), shapes={"batch": (0,)})
    with pytest.raises(InputError, match="no input has a size called"):
        aligner.compare(str(files / "right.onnx"), str(files / "right.onnx"), shapes={"channels": (3,)})
