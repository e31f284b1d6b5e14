"""Models that show their inside where they run, recorders for there, and runs written for others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from marks import requires_compiler, requires_node, requires_onnx, requires_tflite, requires_torch

import aligner
from aligner.api.instrumenting import instrument, write_recorders
from aligner.errors import InputError, OutputError, UnsupportedModelError

GUILTY = "/c2/Conv_output_0"


@pytest.fixture
def network(tmp_path):
    import dumped_models
    import onnx

    for name, fault in (("net", None), ("wrong", "kernel")):
        onnx.save(dumped_models.network(fault), tmp_path / f"{name}.onnx")
    np.save(tmp_path / "x.npy", dumped_models.picture())
    return tmp_path


def ran(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


@requires_onnx
def test_an_onnx_file_shows_its_values(network):
    found = instrument(network / "wrong.onnx", network / "tapped.onnx")
    x = np.load(network / "x.npy")
    tensors = ran(network / "tapped.onnx", x)
    assert next(iter(tensors)) == "y"
    assert set(found.shown) <= set(tensors) and GUILTY in found.shown
    np.testing.assert_allclose(tensors["y"], ran(network / "wrong.onnx", x)["y"], rtol=1e-6)
    np.savez(network / "run.npz", **{name.strip("/"): array for name, array in tensors.items()})
    result = aligner.compare(network / "net.onnx", network / "run.npz", x, dump_of=network / "wrong.onnx")
    assert result.first_divergence.candidate.name == GUILTY
    for model in ("net.onnx", "tapped.onnx"):
        clean = aligner.compare(network / "wrong.onnx", network / "run.npz", x, dump_of=network / model)
        assert clean.verdict == "aligned"


@requires_onnx
def test_only_what_is_asked_for(network):
    assert instrument(network / "net.onnx", network / "a.onnx", ["/c?/*"]).shown == (
        "/c1/Conv_output_0",
        "/c2/Conv_output_0",
    )
    with pytest.raises(InputError, match="no tensor of that name"):
        instrument(network / "net.onnx", network / "a.onnx", ["nothing"])
    with pytest.raises(OutputError, match="cannot write"):
        instrument(network / "net.onnx", network / "net.onnx")
    with pytest.raises(OutputError, match="cannot write"):
        instrument(network / "net.onnx", network / "absent" / "a.onnx")


@requires_onnx
def test_recordings_have_no_such_form(network):
    aligner.capture(network / "net.onnx", network / "run.npz", np.load(network / "x.npy"))
    with pytest.raises(UnsupportedModelError, match="intermediates visible"):
        instrument(network / "run.npz", network / "a.npz")


@requires_tflite
@pytest.mark.parametrize("maker", ["residual_network", "quantised_network"])
def test_a_tflite_file_shows_its_tensors(tmp_path, maker):
    import tflite_models

    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    (tmp_path / "net.tflite").write_bytes(getattr(tflite_models, maker)())
    found = instrument(tmp_path / "net.tflite", tmp_path / "tapped.tflite")
    plain, tapped = (open_model(tmp_path / name, OpenOptions()) for name in ("net.tflite", "tapped.tflite"))
    spec = plain.signature.inputs[0]
    x = (20 * np.random.default_rng(0).random([size or 1 for size in spec.shape])).astype(spec.dtype)
    assert tapped.graph(None).outputs == plain.graph(None).outputs  # it is known for what it is
    shown = by_an_interpreter(tmp_path / "tapped.tflite", x)
    assert len(shown) == len(plain.graph(None).outputs) + len(found.shown)
    names = {value.name: value.id for value in plain.graph(None).values.values()}
    for tensor in plain.run({spec.name: x}, [names[name] for name in shown]):
        np.testing.assert_allclose(tensor.array, shown[plain.graph(None).values[tensor.value].name], rtol=1e-5)
    np.savez(tmp_path / "run.npz", **shown)
    for model in (None, "net.tflite", "tapped.tflite"):
        options = {"dump_of": tmp_path / model} if model else {}
        assert aligner.compare(tmp_path / "net.tflite", tmp_path / "run.npz", x, **options).verdict == "aligned"


def by_an_interpreter(path, x):
    """Every output under the name that the runtime tells, as a program on a device reads them."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return {detail["name"]: interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()}


@requires_torch
@pytest.mark.parametrize("form", ["trace", "script"])
def test_a_torchscript_archive_gives_back_named_tensors(tmp_path, form):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.BatchNorm2d(4)

        def forward(self, image):
            x = self.norm(self.conv(image))
            x = x + 1
            x.relu_()
            return x.mean((2, 3))

    torch.manual_seed(0)
    module, x = Net().eval(), torch.rand(1, 3, 8, 8)
    wrong = Net().eval()
    wrong.load_state_dict(module.state_dict())
    wrong.norm.eps = 0.1
    for name, net in (("net", module), ("wrong", wrong)):
        torch.jit.save(torch.jit.trace(net, x) if form == "trace" else torch.jit.script(net), tmp_path / f"{name}.pt")
    instrument(tmp_path / "wrong.pt", tmp_path / "tapped.pt")
    output, tensors = torch.jit.load(str(tmp_path / "tapped.pt"))(x)
    torch.testing.assert_close(output, wrong(x))
    np.savez(tmp_path / "run.npz", **{name: tensor.numpy() for name, tensor in tensors.items()})
    result = aligner.compare(tmp_path / "net.pt", tmp_path / "run.npz", dump_of=tmp_path / "wrong.pt")
    assert result.verdict == "diverged"
    assert "norm" in result.first_divergence.candidate.op or "norm" in result.first_divergence.candidate.scope
    for model in ("wrong.pt", "tapped.pt"):
        clean = aligner.compare(tmp_path / "wrong.pt", tmp_path / "run.npz", dump_of=tmp_path / model)
        assert clean.verdict == "aligned", clean.comparison.reason


# -------------------------------------------------------------------------------------------------------- recorders


PROGRAM = r"""
#include "aligner_record.hpp"
int main() {
  aligner::Recorder recorder;
  float a[6] = {1, 2, 3, 4, 5, 6};
  int64_t b[2] = {-1, 7};
  unsigned short half[1] = {0x3c00};
  recorder.add("/c1/Conv_output_0", a, {1, 2, 3});
  recorder.add("quote\" \\ \n", b, {2});
  recorder.add("half", half, "F16", 2, {1});
  recorder.add("scalar", a, {});
  try { recorder.add("half", half, "F16", 2, {1}); return 3; } catch (const std::invalid_argument&) {}
  recorder.write("run.safetensors");
}
"""


@requires_compiler
def test_the_header_records_from_cpp(tmp_path):
    write_recorders(tmp_path)
    (tmp_path / "main.cpp").write_text(PROGRAM)
    command = ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "main.cpp", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    subprocess.run(["./main"], cwd=tmp_path, check=True, timeout=60)
    check(tmp_path / "run.safetensors")


SCRIPT = """
import { Recorder } from "./aligner_record.mjs";
import { writeFileSync } from "node:fs";
const recorder = new Recorder();
recorder.add("/c1/Conv_output_0", new Float32Array([1, 2, 3, 4, 5, 6]), [1, 2, 3]);
recorder.addResults({
  'quote" \\\\ \\n': { type: "int64", data: new BigInt64Array([-1n, 7n]), dims: [2] },
  half: { type: "float16", data: new Uint16Array([0x3c00]), dims: [1] },
  words: { type: "string", data: ["a"], dims: [1] },
});
recorder.add("scalar", new Float32Array([1]), []);
writeFileSync("run.safetensors", recorder.bytes());
"""


@requires_node
def test_the_module_records_from_javascript(tmp_path):
    write_recorders(tmp_path)
    (tmp_path / "main.mjs").write_text(SCRIPT)
    subprocess.run(["node", "main.mjs"], cwd=tmp_path, check=True, timeout=60)
    check(tmp_path / "run.safetensors")


def check(path: Path):
    from aligner.adapters.recording_adapter.file import open_file

    file = open_file(path)
    assert set(file.entries) == {"/c1/Conv_output_0", 'quote" \\ \n', "half", "scalar"}
    np.testing.assert_array_equal(file.read("/c1/Conv_output_0"), np.arange(1, 7, dtype=np.float32).reshape(1, 2, 3))
    np.testing.assert_array_equal(file.read('quote" \\ \n'), np.array([-1, 7]))
    assert file.read("half").dtype == np.float16 and file.read("half")[0] == 1
    assert file.read("scalar").shape == ()


# ------------------------------------------------------------------------------------------------ capture for others


@requires_onnx
@pytest.mark.parametrize("how", ["npy", "polygraphy", "onnx-test-data"])
def test_runs_are_written_for_others_and_read_again(network, how):
    aligner.capture(network / "wrong.onnx", network / "out", np.load(network / "x.npy"), format=how)
    result = aligner.compare(network / "net.onnx", network / "out", np.load(network / "x.npy"))
    assert result.verdict == "diverged"
    if how != "onnx-test-data":
        assert result.first_divergence.candidate.name == GUILTY
    with pytest.raises(OutputError, match="exists already"):
        aligner.capture(network / "wrong.onnx", network / "out", np.load(network / "x.npy"), format=how)
