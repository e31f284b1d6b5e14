"""OpenVINO models: read, run, observed, injected, and compared with what they were converted from."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from marks import requires_openvino
from openvino_models import LAYERS, draw, network, one_layer, quantized, save

import aligner
from aligner.adapters.base import OpenOptions
from aligner.adapters.registry import open_model
from aligner.api.matching import match
from aligner.api.options import CompareOptions
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError
from aligner.testing import AdapterConformance
from aligner.testing.operation_conformance import replay_session

pytestmark = requires_openvino


PICTURE = draw(1, 3, 16, 16, seed=4)
KEPT = {"precision": "f32"}
"""Whatever the processor of these tests has: where it computes in bfloat16, the runtime would choose that."""


def compared(reference, candidate, inputs=PICTURE):
    """Two models, of which those of OpenVINO keep to the precision that they declare."""
    from aligner.adapters.openvino_adapter.adapter import OpenVINOAdapter

    sides = {"reference": reference, "candidate": candidate}
    kept = [side for side, model in sides.items() if OpenVINOAdapter().claims(model)]
    settings = {f"{side}.{switch}": setting for side in kept for switch, setting in KEPT.items()}
    return aligner.compare(*sides.values(), inputs, settings=settings).comparison


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Models by the name of their form."""
    folder = tmp_path_factory.mktemp("saved")
    return {
        "plain": save(network(), folder, "plain"),
        "half": save(network(), folder, "half", half=True),
        "eight": save(quantized(), folder, "eight"),
    }


class TestConformance(AdapterConformance):
    @property
    def adapter(self):
        from aligner.adapters.openvino_adapter.adapter import OpenVINOAdapter

        return OpenVINOAdapter()

    form = "plain"

    @pytest.fixture(autouse=True)
    def chosen(self, saved):
        self.path = saved[self.form]

    def make_session(self):
        return open_model(self.path, OpenOptions(settings=KEPT))

    def make_feeds(self):
        return {"image": draw(1, 3, 8, 8, seed=9)}

    def wrong_file(self, tmp_path):
        path = tmp_path / "cut_off.xml"
        path.write_bytes(self.path.read_bytes()[:900])
        return path


class TestHalfWeights(TestConformance):
    form = "half"


class TestEightBits(TestConformance):
    form = "eight"

    def make_feeds(self):
        return {"x": draw(1, 3, 16, 16, seed=9)}


def opened(model, **options):
    return open_model(model, OpenOptions(**{"settings": KEPT} | options))


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
    found = compared(*(reversed(sides) if back else sides))
    assert found.verdict == "aligned"
    assert found.rule == "all-agree"
    assert min(found.coverage.reference, found.coverage.candidate) == 1.0
    assert len(found.pairs) > 10


@pytest.mark.parametrize("live", [False, True])
def test_names_of_fused_layers_say_what_a_layer_answers(tmp_path, live):
    """OpenVINO's transformations fold the norm, make one layer of a hard swish, and note which layers those were."""
    import openvino as ov
    import torch
    from openvino._offline_transformations import apply_moc_transformations

    class Spelled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = Small()[0], Small()[1]

        def forward(self, x):
            x = self.norm(self.conv(x))
            return (x * torch.clamp(x + 3, 0, 6) / 6).abs()

    settings = {"dynamo": False, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    original = tmp_path / "spelled.onnx"
    torch.onnx.export(Spelled().eval(), (torch.from_numpy(PICTURE),), original, opset_version=13, **settings)
    model = ov.Core().read_model(str(original))
    apply_moc_transformations(model, cf=False)
    ov.serialize(model, str(tmp_path / "fused.xml"))
    found = match(original, model if live else tmp_path / "fused.xml", options=CompareOptions(align_by="name"))
    named = {pair.reference.node: pair.candidate.op for pair in found.pairs}
    assert (named["/norm/BatchNormalization"], named["/Div"]) == ("Add", "HSwish")
    assert "/conv/Conv" not in named  # its kernel has the norm folded in


@pytest.mark.parametrize("form", ["from_torch_half", "from_onnx_half"])
def test_weights_stored_as_float16_are_a_declared_precision(converted, form):
    found = compared(Small(), converted[form])
    assert found.verdict == "aligned"
    graph = opened(converted[form]).graph(None)
    assert {weight.dtype for weight in graph.weights.values() if len(weight.shape) > 1} == {"float16"}


class Narrow:
    """Stands for a processor that has matrix units for bfloat16, and a runtime that uses them unasked."""

    def __init__(self, monkeypatch):
        from aligner.adapters.openvino_adapter.engine import Engine

        compiled = Engine.compile
        monkeypatch.setattr(Engine, "chosen_precision", lambda engine: None if self.kept(engine) else "bfloat16")
        narrow = lambda engine, model: model if self.kept(engine) else self.narrowed(model)  # noqa: E731
        monkeypatch.setattr(Engine, "compile", lambda engine, model: compiled(engine, narrow(engine, model)))

    @staticmethod
    def kept(engine):
        return engine.settings.get("INFERENCE_PRECISION_HINT") == "f32"

    @staticmethod
    def narrowed(model):
        import openvino.opset13 as build

        copy = model.clone()
        for op in copy.get_ordered_ops():
            if op.get_type_name() in {"Convolution", "GroupConvolution", "MatMul"}:
                for port in op.inputs():
                    short = build.convert(build.convert(port.get_source_output(), "bf16"), "f32")
                    port.replace_source_output(short.output(0))
        return copy


@pytest.mark.parametrize("back", [False, True])
def test_precision_that_the_runtime_chose_is_a_proven_cause(converted, monkeypatch, back):
    Narrow(monkeypatch)
    sides = [converted["onnx"], converted["from_onnx"]]
    found = aligner.compare(*(reversed(sides) if back else sides), PICTURE).comparison
    assert found.verdict == "diverged"
    assert (found.causes[0].id, found.causes[0].evidence_class) == ("precision-chosen", "proven")
    assert "INFERENCE_PRECISION_HINT=f32" in found.causes[0].suggestion
    assert "bfloat16" in (found.reference if back else found.candidate).runtime


def test_wrong_weights_are_no_chosen_precision(monkeypatch):
    Narrow(monkeypatch)
    wrong = Small()
    wrong[3].weight.data = wrong[3].weight.data.transpose(2, 3).contiguous()
    found = aligner.compare(Small(), converted_from(wrong), PICTURE).comparison
    here = [cause for cause in found.causes if "__module.3/" in cause.node]
    assert [(cause.id, cause.evidence_class) for cause in here][:1] == [("weights-permuted", "proven")]


def converted_from(module):
    import openvino as ov
    import torch

    return ov.convert_model(module, example_input=torch.from_numpy(PICTURE), input=list(PICTURE.shape))


def _epsilon(network):
    network[8].eps = 0.1


def _pool(network):
    network[6] = torch_nn().AvgPool2d(2)


def _tanh(network):
    network[10] = torch_nn().GELU("tanh")


def _dilation(network):
    network[0].dilation = network[0].padding = (2, 2)


def _turned(network):
    network[3].weight.data = network[3].weight.data.transpose(2, 3).contiguous()


def _colours(network):
    network[0].weight.data = network[0].weight.data.flip(1).contiguous()


def _hard(network):
    network[4] = torch_nn().Hardswish()


def _leaky(network):
    network[2] = torch_nn().LeakyReLU(0.1)


def _border(network):
    network[3] = torch_nn().Sequential(torch_nn().ZeroPad2d((0, 1, 0, 1)), network[3])
    network[3][1].padding = (0, 0)


def torch_nn():
    from torch import nn

    return nn


FAULTS = {
    _epsilon: "norm-epsilon",
    _pool: "reduce-axis-or-bias",
    _tanh: "activation-variant",
    _dilation: "conv-stride-dilation-groups",
    _turned: "weights-permuted",
    _colours: "input-channel-order",
    _hard: "activation-variant",
    _leaky: "activation-variant",
    _border: "padding-asymmetric",
}
"""What goes wrong in a conversion → what it is called."""


@cache
def converted_with(fault):
    wrong = Small()
    fault(wrong)
    return converted_from(wrong)


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_located_and_named(fault, back):
    sides = [Small(), converted_with(fault)]
    found = compared(*(reversed(sides) if back else sides))
    assert found.verdict == "diverged"
    assert len(found.introduced) == 1
    assert found.causes[0].id == FAULTS[fault]
    assert found.causes[0].evidence_class in {"proven", "fitted"}


def broken(path, folder, change):
    """A copy of an IR with its text changed."""
    other = folder / "broken.xml"
    other.write_text(change(path.read_text()))
    other.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes())
    return other


BROKEN = {
    "cut off": (lambda text: text[: len(text) // 2], ModelFormatError, "XML that ends"),
    "not an IR": (lambda _: "<a version='1'><b/></a>", ModelFormatError, "root element 'a'"),
    "entities": (
        lambda text: text.replace("?>", "?><!DOCTYPE net [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>", 1),
        ModelFormatError,
        "document type",
    ),
    "old": (lambda text: text.replace('version="11"', 'version="7"', 1), UnsupportedModelError, "versions 10 and 11"),
    "extension": (
        lambda text: text.replace('type="MVN" version="opset6"', 'type="Mine" version="extension"'),
        UnsupportedModelError,
        "Mine",
    ),
    "beyond": (lambda text: text.replace('offset="0"', 'offset="99999999"', 1), ModelFormatError, "in the .bin file"),
    "negative": (lambda text: text.replace('offset="0"', 'offset="-8"', 1), ModelFormatError, "negative"),
    "large": (lambda text: text.replace('shape="4, 3, 3, 3"', 'shape="4, 3, 3, 3000"', 1), ModelFormatError, "bytes"),
    "no edges": (lambda text: text.replace("<edge ", "<other "), ModelFormatError, "expected"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_files_are_our_errors(tmp_path, fault):
    change, kind, words = BROKEN[fault]
    with pytest.raises(kind, match=re.escape(words)) as caught:
        opened(broken(save(network(), tmp_path), tmp_path, change))
    assert caught.value.hint


@pytest.mark.parametrize("content", [None, b"", b"0" * 64])
def test_the_file_of_weights_is_checked(tmp_path, content):
    path = save(network(), tmp_path)
    path.with_suffix(".bin").unlink()
    if content is not None:
        path.with_suffix(".bin").write_bytes(content)
    with pytest.raises(ModelError, match=r"\.bin"):
        opened(path)


def test_links_lead_to_one_store_of_files_and_nowhere_else(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "snapshot").mkdir()
    path = save(network(), tmp_path / "store", "a")
    linked = tmp_path / "snapshot" / "model.xml"
    linked.symlink_to(path)
    linked.with_suffix(".bin").symlink_to(path.with_suffix(".bin"))
    assert opened(linked).graph(None).nodes
    linked.with_suffix(".bin").unlink()
    linked.with_suffix(".bin").symlink_to("/etc/hostname")
    with pytest.raises(ModelFormatError, match="lie elsewhere"):
        opened(linked)


def test_a_device_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match="its devices: CPU"):
        opened(save(network(), tmp_path), device="npu")


def test_weights_packed_in_few_bits_are_on_their_grid():
    import openvino as ov
    import openvino.opset13 as build

    x = build.parameter([2, 4], np.float32, name="x")
    stored = np.random.default_rng(0).integers(-8, 8, (3, 4), np.int8)
    zero, scale = np.array([[1], [0], [-2]], np.float32), np.array([[0.5], [0.25], [2]], np.float32)
    kernel = build.multiply(build.subtract(build.convert(build.constant(stored), "f32"), zero), scale, name="kernel")
    model = ov.Model([build.result(build.matmul(x, kernel, False, True))], [x], "packed")
    weight = opened(model).graph(None).weights["kernel"]
    assert weight.dtype == "int8"
    np.testing.assert_array_equal(weight.load(), stored)
    np.testing.assert_allclose(weight.values(), (stored - zero) * scale)


def test_what_does_not_fit_into_the_limit_is_shown_in_parts(tmp_path):
    path, feeds = save(network(), tmp_path), {"image": draw(1, 3, 8, 8)}
    whole, parts = (list(opened(path, memory_limit=limit).run(feeds)) for limit in (None, 2000))
    assert [tensor.value for tensor in whole] == [tensor.value for tensor in parts]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one.array, other.array, atol=1e-6)


def test_results_that_nobody_reads_are_nobody_s(converted):
    graph = opened(converted["from_onnx"]).graph(None)
    pool = next(node for node in graph.nodes if node.op == "MaxPool")
    assert pool.outputs[0] and pool.outputs[1] == ""


def test_states_start_anew_with_each_run():
    import openvino as ov
    import openvino.opset13 as build

    x = build.parameter([1, 3], np.float32, name="x")
    kept = build.read_value(np.zeros((1, 3), np.float32), "memory")
    total = build.add(x, kept, name="total")
    written = build.assign(total, "memory")
    model = ov.Model([build.result(total)], [written], [x], "stateful")
    session, feeds = opened(model), {"x": draw(1, 3)}
    for _ in range(2):
        np.testing.assert_array_equal(session.predict(feeds)[0].array, feeds["x"])
        np.testing.assert_array_equal(next(t for t in session.run(feeds) if t.value == "total").array, feeds["x"])


def test_constants_that_are_outputs_can_be_injected():
    import openvino as ov
    import openvino.opset13 as build

    x, held = build.parameter([1, 3], np.float32, name="x"), build.constant(draw(1, 3), name="held")
    model = ov.Model([build.result(build.add(x, held, name="total")), build.result(held)], [x], "holding")
    feeds = {"x": draw(1, 3, seed=1)}
    shown = {tensor.value: tensor.array for tensor in opened(model).run(feeds, None, {"held": feeds["x"]})}
    np.testing.assert_array_equal(shown["total"], feeds["x"] * 2)


def test_loops_are_looked_at_from_outside():
    import openvino as ov
    import openvino.opset13 as build

    x = build.parameter([1, 3], np.float32, name="x")
    inner = build.parameter([1, 3], np.float32)
    body = ov.Model([build.multiply(inner, np.float32(2)), build.constant(True)], [inner], "body")
    loop = build.loop(build.constant(np.int32(3)).output(0), build.constant(True).output(0))
    loop.set_function(body)
    loop.set_merged_input(inner, x.output(0), body.results[0].output(0))
    loop.set_special_body_ports([-1, 1])
    out = loop.get_iter_value(body.results[0].output(0), -1)
    model = ov.Model([build.result(build.relu(out, name="last"))], [x], "looping")
    session, feeds = opened(model), {"x": draw(1, 3)}
    assert "compared as a whole" in session.notes[0]
    assert [node.kind for node in session.graph(feeds).nodes] == ["loop", "relu"]
    shown = list(session.run(feeds))
    np.testing.assert_allclose(shown[-1].array, np.maximum(feeds["x"] * 8, 0))


EIGHT = draw(1, 3, 16, 16, seed=9)


def test_eight_bits_are_no_fault_of_a_layer():
    plain, eight = quantized(levels=False), quantized()
    for sides in ((plain, eight), (eight, plain), (eight, quantized())):
        found = compared(*sides, EIGHT)
        assert found.verdict == "aligned", found.reason


def test_a_fake_quantize_is_numbers_stored_and_read_back():
    graph = opened(quantized()).graph(None)
    kinds = [node.kind for node in graph.nodes if node.op == "FakeQuantize"]
    assert kinds == ["quantize", "dequantize"] * 2
    grid = graph.values["r0/fq.stored"].quantization
    assert (grid.scale[0], grid.zero_point) == (pytest.approx(6 / 255), (0,))


@pytest.mark.parametrize(("levels", "guilty"), [(True, "c1"), (False, "r0/fq.stored")])
def test_a_range_that_is_too_small_is_found(levels, guilty):
    found = compared(quantized(levels=levels), quantized(top=1.5), EIGHT)
    assert found.verdict == "diverged"
    assert [pair.candidate.name for pair in found.introduced] == [guilty]
    assert found.causes[0].id == "quantization-calibration"


def test_a_command_reports_nothing_and_needs_no_home(tmp_path):
    """OpenVINO's own import would read an id in the home folder and send an event."""
    (tmp_path / "home" / "intel").mkdir(parents=True)
    (tmp_path / "home" / "intel" / "openvino_ga_cid").write_text("00000000-0000-4000-8000-000000000000")
    model = str(save(network(), tmp_path))
    command = [sys.executable, "-m", "aligner", "compare", model, model, "--quiet"]
    done = subprocess.run(command, env={**os.environ, "HOME": str(tmp_path / "home")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    script = (
        f"import sys, aligner; aligner.compare({model!r}, {model!r}); assert 'openvino_telemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@requires_openvino
def test_a_single_number_is_put_in_without_axes(tmp_path):
    import openvino as ov
    import openvino.opset13 as build

    x = build.parameter([2, 3], np.float32, name="x")
    total = build.reduce_sum(build.sigmoid(x), np.array([0, 1]), False, name="total")
    larger = build.greater(total, np.float32(0), name="larger")
    y = build.select(larger, build.relu(x), build.negative(x), name="y")
    path = save(ov.Model([build.result(y)], [x], "m"), tmp_path)
    assert aligner.compare(path, path, draw(2, 3)).verdict == "aligned"
