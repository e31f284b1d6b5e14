"""A fault cut out of a model: it fails without aligner, and only where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import run
from tests.fixable_models import FAULTS, build, node
from tests.marks import requires_onnx, requires_openvino, requires_torch

pytestmark = requires_onnx


def _feeds() -> dict[str, Any]:
    return {"x": np.random.default_rng(3).standard_normal((1, 3, 16, 16)).astype("f4")}


def _alone(folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "repro.py"]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("fault", ["pads", "slice", "kernel", "activation extra", "float16"])
def test_fault_fails_alone(fault: str, tmp_path: Path) -> None:
    from aligner.api.reproducing import reproduce

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS[fault])
    found = reproduce(right, wrong, _feeds(), output=tmp_path / "repro")
    told = _alone(tmp_path / "repro")
    assert told.returncode == 1 and "largest error" in told.stdout
    assert found.files == ("ISSUE.md", "expected.npy", "inputs.npz", "part.onnx", "repro.py")
    assert "aligner" not in (tmp_path / "repro" / "repro.py").read_text()
    assert len(found.operations) < 5


def test_mended_part_passes(tmp_path: Path) -> None:
    import onnx

    from aligner.api.reproducing import reproduce
    from tests.fixable_models import set_attribute

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS["pads"])
    reproduce(right, wrong, _feeds(), output=tmp_path / "repro")
    part = onnx.load(tmp_path / "repro" / "part.onnx")
    set_attribute("first", "pads", [1, 1, 1, 1])(part)
    onnx.save(part, tmp_path / "repro" / "part.onnx")
    assert _alone(tmp_path / "repro").returncode == 0


def test_command_writes_a_folder(tmp_path: Path) -> None:
    build(tmp_path / "right.onnx")
    build(tmp_path / "wrong.onnx", FAULTS["alpha"])
    np.save(tmp_path / "x.npy", _feeds()["x"])
    told = run(tmp_path, "repro", "right.onnx", "wrong.onnx", "--input", "x.npy", "-o", "repro")
    assert told.code == 0 and "LeakyRelu at leaky fails alone" in told.out, told.err
    assert "LeakyRelu" in (tmp_path / "repro" / "ISSUE.md").read_text()
    again = run(tmp_path, "repro", "right.onnx", "wrong.onnx", "--input", "x.npy", "-o", "repro")
    assert again.code == 2 and "something lies there already" in again.err


def test_no_fault_is_refused(tmp_path: Path) -> None:
    from aligner.api.reproducing import reproduce
    from aligner.errors import ComparisonError

    right, same = build(tmp_path / "right.onnx"), build(tmp_path / "same.onnx")
    with pytest.raises(ComparisonError, match="no fault"):
        reproduce(right, same, _feeds(), output=tmp_path / "repro")
    assert not (tmp_path / "repro").exists()


def _in_a_branch(model: Any) -> None:
    """The activation, in the branch that a condition of the input takes."""
    from onnx import TensorProto, helper, numpy_helper

    leaky = node(model, "leaky")
    inner = helper.make_node("LeakyRelu", ["a"], ["inner"], "inner", alpha=leaky.attribute[0].f)
    other = helper.make_node("Relu", ["a"], ["other"], "other")
    branches = [
        helper.make_graph([each], "branch", [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
        for each, name in ((inner, "inner"), (other, "other"))
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.float32(-1e9), "low"))
    made = [
        helper.make_node("ReduceMax", ["x"], ["most"], "most", keepdims=0),
        helper.make_node("Greater", ["most", "low"], ["taken"], "greater"),
        helper.make_node("If", ["taken"], ["b"], "choice", then_branch=branches[0], else_branch=branches[1]),
    ]
    model.graph.node.remove(leaky)
    nodes = [*made, *model.graph.node]
    first = next(place for place, one in enumerate(nodes) if one.name == "first")
    nodes.insert(0, nodes.pop(first))
    copies = [type(one).FromString(one.SerializeToString()) for one in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _in_a_function(model: Any) -> None:
    from onnx import helper

    leaky = node(model, "leaky")
    inner = helper.make_node("LeakyRelu", ["given"], ["made"], alpha=leaky.attribute[0].f)
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Act", ["given"], ["made"], [inner], opsets))
    model.opset_import.append(helper.make_opsetid("own", 1))
    leaky.op_type, leaky.domain = "Act", "own"
    del leaky.attribute[:]


def _quantised(model: Any) -> None:
    """What the second convolution reads, as eight bits."""
    from onnx import helper, numpy_helper

    scale = numpy_helper.from_array(np.float32(0.02), "step")
    model.graph.initializer.extend([scale, numpy_helper.from_array(np.int8(0), "zero")])
    place = [one.name for one in model.graph.node].index("second")
    model.graph.node[place].input[0] = "coarse"
    model.graph.node.insert(place, helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["coarse"], "dequant"))
    model.graph.node.insert(place, helper.make_node("QuantizeLinear", ["b", "step", "zero"], ["q"], "quant"))


def _named_twice(model: Any) -> None:
    """A weight under the name of another, which it takes the place of."""
    kept = [one for one in model.graph.initializer if one.name == "w1"]
    model.graph.initializer.extend(type(one).FromString(one.SerializeToString()) for one in kept)


FORMS = {
    "twice": (_named_twice, "pads"),
    "branch": (_in_a_branch, "alpha"),
    "function": (_in_a_function, "alpha"),
    "external": (None, "pads"),
    "int8": (_quantised, "kernel"),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_file(form: str, tmp_path: Path) -> None:
    import onnx

    from aligner.api.reproducing import reproduce

    change, fault = FORMS[form]
    paths = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS[fault])
    for path in paths:
        model = onnx.load(path)
        if change is not None:
            change(model)
        aside = change is None
        onnx.save(model, path, save_as_external_data=aside, location=f"{path.stem}.data", size_threshold=64)
    reproduce(*paths, _feeds(), output=tmp_path / "repro")
    told = _alone(tmp_path / "repro")
    assert told.returncode == 1 and "largest error" in told.stdout


@requires_torch
@pytest.mark.parametrize("form", ["traced", pytest.param("exported", marks=pytest.mark.slow)])
def test_programs_of_torch(form: str, tmp_path: Path) -> None:
    import torch

    from aligner.api.reproducing import reproduce

    class Net(torch.nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = torch.nn.Conv2d(3, 8, 3), torch.nn.Conv2d(8, 4, 3)
            self.act = torch.nn.LeakyReLU(slope)

        def forward(self, x: Any) -> Any:
            return self.second(self.act(self.first(x)))

    x, wrong = torch.from_numpy(_feeds()["x"]), Net(0.01).eval()
    path = tmp_path / {"traced": "wrong.pt", "exported": "wrong.pt2"}[form]
    if form == "traced":
        torch.jit.save(torch.jit.trace(wrong, x), path)
    else:
        torch.export.save(torch.export.export(wrong, (x,)), path)
    found = reproduce(Net(0.2).eval(), path, _feeds(), output=tmp_path / "repro")
    assert "leaky_relu" in found.operations[0] and _alone(tmp_path / "repro").returncode == 1
    assert np.load(tmp_path / "repro" / "expected.npy").size < 100  # of 1,568: shrunk


@requires_openvino
@pytest.mark.parametrize("form", [pytest.param("converted", marks=pytest.mark.slow), "eight bits"])
def test_layers_of_openvino(form: str, tmp_path: Path) -> None:
    import openvino
    import openvino.opset13 as layers

    from aligner.adapters.base import OpenOptions
    from aligner.api.options import CompareOptions
    from aligner.api.reproducing import reproduce
    from tests.openvino_models import quantized, save

    if form == "converted":
        right = build(tmp_path / "right.onnx")
        model = openvino.convert_model(build(tmp_path / "wrong.onnx", FAULTS["pads"]))
    else:
        right, model = save(quantized(levels=False), tmp_path, "right"), quantized()
        kernel = next(op for op in model.get_ops() if op.get_friendly_name() == "k1")
        readers = kernel.output(0).get_target_inputs()
        doubled = layers.multiply(kernel, np.float32(2))
        for reader in readers:
            reader.replace_source_output(doubled.output(0))
    kept = OpenOptions(settings={"precision": "f32"})
    options = CompareOptions(candidate_options=kept, reference_options=OpenOptions() if form == "converted" else kept)
    wrong = save(model, tmp_path, "wrong")
    found = reproduce(right, wrong, _feeds(), output=tmp_path / "repro", options=options)
    assert "Convolution" in found.operations
    assert {"part.xml", "part.bin"} <= set(found.files)
    assert _alone(tmp_path / "repro").returncode == 1


@requires_openvino
def test_part_of_openvino_that_reads_eight_bits(tmp_path: Path) -> None:
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.openvino_adapter.adapter import OpenVINOAdapter
    from tests.openvino_models import quantized, save

    path, adapter = save(quantized(), tmp_path), OpenVINOAdapter()
    told = {each.value: each.array for each in adapter.open(path, OpenOptions()).run(_feeds(), ["x/fq.stored", "r0"])}
    part = adapter.extract(path, {"x/fq.stored": told["x/fq.stored"]}, "r0", tmp_path)
    given: dict[str, Any] = {"inputs": [told["x/fq.stored"]], "np": np}
    exec(part.script.replace(part.file, str(tmp_path / part.file)), given)
    np.testing.assert_allclose(given["got"], told["r0"], rtol=1e-5, atol=1e-5)


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    from aligner.api.reproducing import reproduce
    from aligner.errors import OutputError

    right, wrong = build(tmp_path / "right.onnx"), build(tmp_path / "wrong.onnx", FAULTS["pads"])
    with pytest.raises(OutputError, match="cannot write into"):
        reproduce(right, wrong, _feeds(), output=tmp_path / "nowhere" / "repro")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="something lies there already"):
        reproduce(right, wrong, _feeds(), output=tmp_path / "file")
    shut = tmp_path / "shut"
    shut.mkdir(mode=0o500)
    if not os.access(shut, os.W_OK):
        with pytest.raises(OutputError, match="cannot write into"):
            reproduce(right, wrong, _feeds(), output=shut / "repro")
    assert not list(shut.iterdir())
