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


class Cached(torch.nn.Module):
    """Sums what it has seen, where the mask allows it; ``late`` starts behind the cache."""

    def __init__(self, *, late=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.late = torch.nn.Embedding(10, 4), late

    def forward(self, input_ids, attention_mask, past_key):
        whole = torch.cat([past_key, self.embed(input_ids)[:, None]], 2)
        seen = (whole * attention_mask[:, None, :, None]).cumsum(2)
        past = past_key.shape[2]
        return torch.relu(seen[:, 0, past:] - seen[:, 0, past - 1 : past] if self.late else seen[:, 0, past:]), whole


def test_a_decoder_with_caches_that_nobody_gave(tmp_path):
    for name, model in (("right", Cached()), ("late", Cached(late=True))):
        example = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 5, dtype=torch.long), torch.zeros(1, 1, 3, 4)
        axes = {0: "batch", 1: "sequence_length"}, {0: "batch", 1: "past_sequence_length + 1"}
        torch.onnx.export(
            model.eval(), example, tmp_path / f"{name}.onnx", dynamo=False, output_names=["scores", "present_key"],
            input_names=["input_ids", "attention_mask", "past_key"],
            dynamic_axes=dict(zip(["input_ids", "attention_mask", "past_key"],
                                  [*axes, {0: "batch", 2: "past_sequence_length"}], strict=True)),
        )  # fmt: skip
    right, late = (str(tmp_path / f"{name}.onnx") for name in ("right", "late"))
    found = aligner.compare(right, right, shapes={"batch": (1, 2), "seq": (1, 5), "past_sequence_length": (2, 7)})
    assert (found.verdict, len(found.comparison.grid)) == ("aligned", 8)
    assert {point.verdict for point in found.comparison.grid} == {"aligned"}
    assert aligner.compare(right, late).verdict == "diverged"


class Alone(Cached):
    """The same without a cache, as it begins."""

    def forward(self, input_ids):
        return self.scores(input_ids)

    def scores(self, input_ids, mask=None):
        seen = self.embed(input_ids)[:, None]
        return torch.relu((seen if mask is None else seen * mask[:, None, :, None]).cumsum(2)[:, 0])


class Masked(Alone):
    def forward(self, input_ids, attention_mask):
        return self.scores(input_ids, attention_mask)


class Behind(Alone):
    def forward(self, input_ids, attention_mask, past_key):
        whole = torch.cat([past_key, self.embed(input_ids)[:, None]], 2)
        seen = (whole * attention_mask[:, None, :, None]).cumsum(2)
        return torch.relu(seen[:, 0, past_key.shape[2] :]), whole


@pytest.mark.parametrize("model", [Masked, Behind])
def test_what_one_side_alone_takes_is_as_large_as_its_tokens(tmp_path, model):
    """A mask; a cache, which is empty where the other side has none."""
    example = torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2 + 3 * (model is Behind), dtype=torch.long)
    example += (torch.zeros(1, 1, 3, 4),) if model is Behind else ()
    names = ["input_ids", "attention_mask", "past_key"][: len(example)]
    axes = {0: "batch", 1: "seq"}, {0: "batch", 1: "mask"}, {0: "batch", 2: "past"}
    torch.onnx.export(
        model().eval(), example, tmp_path / "one.onnx", dynamo=False, input_names=names,
        dynamic_axes=dict(zip(names, axes, strict=False)),
    )  # fmt: skip
    found = aligner.compare(Alone().eval(), str(tmp_path / "one.onnx"), shapes={"batch": (1, 3), "seq": (2, 7)})
    assert [point.verdict for point in found.comparison.grid] == ["aligned"] * 4


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
