"""OpenVINO models: read, run, observed, injected, and compared with what they were converted from."""

from __future__ import annotations

import pytest
from marks import requires_openvino
from openvino_models import LAYERS, draw, network, one_layer, save

import aligner
from aligner.adapters.base import OpenOptions
from aligner.testing import AdapterConformance
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_openvino


class TestConformance(AdapterConformance):
    @property
    def adapter(self):
        from aligner.adapters.openvino_adapter.adapter import OpenVINOAdapter

        return OpenVINOAdapter()

    half = False

    @pytest.fixture(autouse=True)
    def saved(self, tmp_path):
        self.path = save(network(), tmp_path, half=self.half)

    def make_session(self):
        return self.adapter.open(self.path, OpenOptions())

    def make_feeds(self):
        return {"image": draw(1, 3, 8, 8, seed=9)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.xml"
        path.write_bytes(self.path.read_bytes()[:900])
        return path


class TestHalfWeights(TestConformance):
    half = True


def opened(model, **options):
    from aligner.adapters.openvino_adapter.adapter import OpenVINOAdapter

    return OpenVINOAdapter().open(model, OpenOptions(**options))


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_replays(name):
    make, *inputs = LAYERS[name]
    model, feeds = one_layer(make, *inputs)
    found = replay_session(opened(model), feeds)
    assert found
    assert not [(one.node.op, one.fault or one.opaque) for one in found if one.fault or one.opaque]


class Small:
    """A network that PyTorch, ONNX and OpenVINO have; made anew at each call."""

    def __new__(cls):
        import torch
        from torch import nn

        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4),
            nn.SiLU(),
            nn.ConvTranspose2d(8, 6, 2, stride=2),
            nn.MaxPool2d(2),
            nn.Flatten(2),
            nn.LayerNorm(64),
            nn.Linear(64, 10),
            nn.GELU(),
        )
        model[1].running_var.uniform_(0.5, 1.5)
        model[1].running_mean.uniform_(-0.5, 0.5)
        return model.eval()


PICTURE = draw(1, 3, 16, 16, seed=4)


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """The network by every way to OpenVINO, and as ONNX; "half" stores its weights as float16, as converters do."""
    import openvino as ov
    import torch

    folder = tmp_path_factory.mktemp("converted")
    example = torch.from_numpy(PICTURE)
    torch.onnx.export(Small(), (example,), folder / "small.onnx", dynamo=False, input_names=["image"])
    found = {"onnx": folder / "small.onnx"}
    for name, source in (
        ("from_torch", ov.convert_model(Small(), example_input=example, input=[1, 3, 16, 16])),
        ("from_onnx", ov.convert_model(str(folder / "small.onnx"))),
        ("dynamic", ov.convert_model(Small(), example_input=example)),
    ):
        found[name] = save(source, folder, name)
        found[f"{name}_half"] = save(source, folder, f"{name}_half", half=True)
    return found


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("form", ["from_torch", "from_onnx", "dynamic"])
@pytest.mark.parametrize("origin", ["torch", "onnx"])
def test_conversions_are_aligned(converted, origin, form, back):
    sides = [Small() if origin == "torch" else converted["onnx"], converted[form]]
    found = aligner.compare(*(reversed(sides) if back else sides), PICTURE).comparison
    assert found.verdict == "aligned"
    assert found.rule == "all-agree"
    assert min(found.coverage.reference, found.coverage.candidate) == 1.0
    assert len(found.pairs) > 10


@pytest.mark.parametrize("form", ["from_torch_half", "from_onnx_half"])
def test_weights_stored_as_float16_are_a_declared_precision(converted, form):
    found = aligner.compare(Small(), converted[form], PICTURE).comparison
    assert found.verdict == "aligned"
    graph = opened(converted[form]).graph(None)
    assert {weight.dtype for weight in graph.weights.values() if len(weight.shape) > 1} == {"float16"}
