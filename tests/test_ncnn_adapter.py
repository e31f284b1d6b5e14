"""ncnn's models: read, run, observed, injected, and compared with what pnnx made them of."""

from __future__ import annotations

import numpy as np
import pytest
from command import Shell
from marks import requires_ncnn
from ncnn_models import LAYERS, PICTURE, by_hand, convert, draw, network

import aligner
from aligner.adapters.base import OpenOptions
from aligner.errors import ModelFormatError, ModelNotFoundError
from aligner.testing import AdapterConformance
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_ncnn


def opened(path):
    from aligner.adapters.ncnn_adapter.adapter import NcnnAdapter

    return NcnnAdapter().open(path, OpenOptions())


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """With weights in float32, and as pnnx stores them by itself."""
    folder = tmp_path_factory.mktemp("ncnn")
    return {half: convert(network(), folder / str(half), half=half) for half in (False, True)}


class TestConformance(AdapterConformance):
    half = False

    @property
    def adapter(self):
        from aligner.adapters.ncnn_adapter.adapter import NcnnAdapter

        return NcnnAdapter()

    @pytest.fixture(autouse=True)
    def saved(self, converted):
        self.path = converted[self.half]

    def make_session(self):
        return self.adapter.open(self.path, OpenOptions())

    def make_feeds(self):
        return {"in0": PICTURE}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.param"
        path.write_bytes(self.path.read_bytes()[:300])
        return path


class TestHalfWeights(TestConformance):
    half = True


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_replays(name, tmp_path):
    line, weights, *shapes = LAYERS[name]
    session = opened(by_hand(tmp_path, line, weights, len(shapes)))
    assert not session.notes
    found = replay_session(
        session.in_declared_precision(), {f"in{k}": draw(*shape, seed=k + 5) for k, shape in enumerate(shapes)}
    )
    assert found
    assert not [(one.node.op, one.fault or one.opaque) for one in found if one.fault or one.opaque]


@pytest.mark.parametrize("back", [False, True])
def test_a_conversion_is_aligned(converted, back):
    sides = [network(), converted[False]]
    found = aligner.compare(*(reversed(sides) if back else sides), PICTURE).comparison
    assert found.verdict == "aligned"
    assert min(found.coverage.reference, found.coverage.candidate) == 1.0
    assert max(pair.accumulated.max_abs for pair in found.outputs) < 1e-5


def test_weights_that_pnnx_stores_as_float16_are_a_declared_precision(converted):
    found = aligner.compare(network(), converted[True], PICTURE).comparison
    assert found.verdict == "aligned"
    assert not found.introduced


@pytest.mark.parametrize("whole", [False, True], ids=["in pieces", "one node"])
def test_another_activation_in_a_layer_is_no_matter_of_precision(tmp_path, whole):
    import torch

    class Block(torch.nn.Module):
        def __init__(self, act):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.act = torch.nn.Conv2d(3, 8, 3), act

        def forward(self, x):
            return self.act(self.conv(4 * x))

    reference = Block(torch.nn.SiLU() if whole else lambda x: x * torch.sigmoid(x))
    path = convert(Block(torch.nn.ReLU6()).eval(), tmp_path / "block", example=PICTURE)
    found = aligner.compare(reference.eval(), path, PICTURE)
    assert [cause.id for cause in found.causes] == ["activation-variant"]
    assert found.causes[0].evidence_class == "proven"


def test_dense_layers_that_the_runtime_stores_as_float16_are_proven(tmp_path):
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 4)).eval()
    path = convert(module, tmp_path / "dense", example=draw(1, 64))
    if opened(path).chosen_precision is None:
        pytest.skip("this processor has no float16")
    found = aligner.compare(module, path, draw(1, 64, seed=3))
    assert found.verdict == "diverged"
    assert found.causes[0].id == "precision-chosen" and found.causes[0].evidence_class == "proven"
    varied = aligner.vary(path, draw(1, 64, seed=3), over="precision").variations[0]
    assert (varied.setting, varied.outcome) == ("float16", "diverged")


@pytest.mark.parametrize("half", [False, True])
def test_a_wrong_kernel_is_named(tmp_path, half):
    """What float16 weights leave beyond the contract is explained, and nothing else is wrong."""
    module = network()
    module.point.weight.data[3] *= 1.5
    found = aligner.compare(network(), convert(module, tmp_path / "wrong", half=half), PICTURE)
    assert found.comparison.certificate.sufficient
    assert found.verdict == "diverged"
    assert found.first_divergence.reference.scope == "point"
    assert found.causes[0].id.startswith("weights") and found.causes[0].evidence_class == "proven"


def test_what_lets_several_read_a_blob_is_that_blob(converted):
    graph = opened(converted[False]).graph({"in0": PICTURE})
    assert "Split" not in {node.op for node in graph.nodes}
    assert any(value.aliases for value in graph.values.values())


def test_the_switches_of_the_runtime_change_nothing(converted):
    found = aligner.vary(converted[False], PICTURE, over="optimization,precision,threads,runs")
    assert found.verdict == "aligned"
    assert len(found.variations) == 5


def test_layers_that_are_not_known_are_said(tmp_path):
    path = by_hand(tmp_path, "YoloDetectionOutput 0=1", [(draw(8), False)])
    assert "no weights are compared" in opened(path).notes[0]


def test_shapes_in_words_are_read(tmp_path):
    session = opened(by_hand(tmp_path, 'Reshape 6="0h,0w"'))
    assert session.graph(None).nodes[0].attributes["p6"] == "0h,0w"
    assert session.predict({"in0": draw(1, 4, 6)})[0].array.shape == (1, 6, 4)


def test_a_model_without_an_axis_of_samples_is_fed_as_one(tmp_path):
    kernel, offset, x = draw(5, 4), draw(5, seed=1), draw(3, 4, seed=2)
    weights = [(kernel, True), (offset, True)]
    session = opened(by_hand(tmp_path, "Gemm 3=1 5=1 6=1 7=3 8=5 9=4 10=4", weights)).in_declared_precision()
    np.testing.assert_allclose(session.predict({"in0": x})[0].array, (x @ kernel.T + offset)[None], rtol=1e-5)
    assert session.predict({"in0": x[None]})[0].array.shape == (1, 3, 5)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("Normalize 0=0 1=1 3=1 4=1", [1]),
        ("Requantize 0=4 1=4 2=4 4=0.1,0.2", [4, 4, 4]),
        ("DeformableConv2D 0=4 1=3 5=1 6=108", [(4, 3, 3, 3), 4]),
    ],
)
def test_weights_of_rarer_layers_are_read(tmp_path, line, counts):
    arrays = [draw(*count) if isinstance(count, tuple) else draw(count) for count in counts]
    session = opened(by_hand(tmp_path, line, [(array, array.ndim > 1) for array in arrays]))
    assert not session.notes
    held = [weight.load() for weight in session.graph(None).weights.values()]
    assert all(np.array_equal(one, other) for one, other in zip(held, arrays, strict=True))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no ncnn model"),
        ("7767517\n", "contradicts itself"),
        ("7767517\n1 x\n", "contradicts itself"),
        ("7767517\n1 1\nInput a 0 1\n", "lacks blobs"),
        ("7767517\n2 1\nInput a 0 1 a\n", "2 layers announced, 1 there"),
        ("7767517\n1 3\nInput a 0 1 a\n", "3 blobs announced, 1 there"),
        ("7767517\n2 2\nInput a 0 1 a\nReLU r 1 1 b c\n", "reads b, which nothing wrote"),
        ("7767517\n2 1\nInput a 0 1 a\nReLU r 1 1 a a\n", "writes a again"),
        ("7767517\n1 1\nMemoryData a 0 1 a 0=1\n", "no input"),
        ("7767517\n2 2\nInput a 0 1 a\nClip c 1 1 a b -23310=3,1\n", "an array of 3 has 1"),
        ("7767517\n2 2\nInput a 0 1 a\nReLU c 1 1 a b 0=1e400\n", "no number of ncnn's"),
        ("7767517\n2 2\nInput a 0 1 a\nReLU c 1 1 a b 0=4294967296\n", "no number of ncnn's"),
        ("7767517\n2 2\nInput a 0 1 a\nSplit c 0 1 b\n", "reads 0 blobs"),
        ("7767517\n2 1\nInput a 0 1 a\nMemoryData c 0 0 0=1\n", "writes 0"),
        ("7767517\n2 2\nInput a 0 1 a\nConvolution c 1 1 a b 0=2 1=3 6=17\n", "17 weights for 18 kernels"),
        ("7767517\n2 2\nInput a 0 1 a\nInnerProduct c 1 1 a b 0=-2 2=4\n", "4 weights for -2 kernels"),
        ("7767517\n2 2\nInput a 0 1 a\nBatchNorm c 1 1 a b 0=-2\n", "ends too early"),
    ],
)
def test_texts_that_contradict_themselves_are_refused(tmp_path, text, says):
    path = tmp_path / "m.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelFormatError) as error:
        opened(path)
    assert says in f"{error.value.what} {error.value.found}"


def test_weights_that_are_cut_off_missing_or_in_another_form_are_refused(tmp_path):
    path = by_hand(tmp_path, *LAYERS["conv"][:2])
    content = path.with_suffix(".bin").read_bytes()
    path.with_suffix(".bin").write_bytes(content[:-4])
    with pytest.raises(ModelFormatError, match="ends too early"):
        opened(path)
    path.with_suffix(".bin").write_bytes(b"\1\2\3\4" + content[4:])
    with pytest.raises(ModelFormatError, match="form that is not known"):
        opened(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelNotFoundError, match="no weights"):
        opened(path)
    path.with_suffix(".bin").symlink_to("/dev/zero")
    with pytest.raises(ModelFormatError, match="lie elsewhere"):
        opened(path)


def test_inputs_that_do_not_fit_are_refused_and_no_empty_blob_is_read(tmp_path, capfd, monkeypatch):
    path = by_hand(tmp_path, "BinaryOp 0=0", inputs=2)
    np.savez(tmp_path / "x.npz", in0=draw(1, 3, 4, 4), in1=draw(1, 3, 4, 4).astype(np.float64))
    shell = Shell(tmp_path, capfd, monkeypatch)
    shell.refused("compare", path.name, path.name, "--input", "in0=none.npy")
    shell.refused("compare", path.name, "other.param", "--input", "x.npz")
    shell.refused("inspect", path.name, "--device", "cuda", says=("processor",))
