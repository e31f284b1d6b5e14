"""A coarser twin's nodes ranked by what they cost: the one that clips, the depth where nobody stands out, the lists."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.command import run
from tests.marks import requires_onnx, requires_openvino

pytestmark = requires_onnx

LAYERS = 10
X = np.random.default_rng(2).uniform(-1, 1, (1, 8, 16, 16)).astype("f4")


def chain(path: Path, ranges: Sequence[float] | None = None) -> Path:
    """Convolutions, each followed by a quantised tensor where ``ranges`` says what it can hold."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng, nodes, weights, source = np.random.default_rng(1), [], dict[str, Any](), "x"
    for number in range(LAYERS):
        weights[f"k{number}"] = (rng.standard_normal((8, 8, 3, 3)) / 8.5).astype("f4")
        nodes.append(helper.make_node("Conv", [source, f"k{number}"], [f"c{number}"], f"conv{number}", pads=[1] * 4))
        source = f"c{number}"
        if ranges is not None:
            weights |= {f"s{number}": np.float32(ranges[number] / 127), f"z{number}": np.int8(0)}
            operands = [f"s{number}", f"z{number}"]
            nodes.append(helper.make_node("QuantizeLinear", [source, *operands], [f"q{number}"], f"q{number}"))
            nodes.append(helper.make_node("DequantizeLinear", [f"q{number}", *operands], [f"d{number}"], f"d{number}"))
            source = f"d{number}"
    nodes.append(helper.make_node("Identity", [source], ["y"], "last"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, X.shape) for name in ("x", "y")]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def ranges(path: Path) -> list[float]:
    """What the float chain's tensors reach."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    model.graph.output.extend(onnx.ValueInfoProto(name=f"c{number}") for number in range(LAYERS))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return [float(np.abs(each).max()) for each in session.run([f"c{n}" for n in range(LAYERS)], {"x": X})]


def test_a_range_too_small_costs_most_and_is_clipping(tmp_path: Path) -> None:
    from aligner.api.sensing import sensitivity

    right = chain(tmp_path / "float.onnx")
    held = ranges(right)
    held[4] /= 4
    found = sensitivity(right, chain(tmp_path / "int8.onnx", held), {"x": X})
    first = found.nodes[0]
    assert found.spread == "nodes" and first.reference == "c4" and first.share > 0.9
    assert first.clipped > 0.9 and found.nodes[1].clipped < 0.1
    assert found.halving == 1
    assert first.restored is not None and first.restored < found.error / 4
    assert len({node.reference for node in found.nodes}) == len(found.nodes) == LAYERS


def test_depth_has_no_single_node(tmp_path: Path) -> None:
    from aligner.api.sensing import sensitivity

    right = chain(tmp_path / "float.onnx")
    found = sensitivity(right, chain(tmp_path / "int8.onnx", ranges(right)), {"x": X})
    assert found.spread == "depth" and found.halving > 3
    assert found.sum == pytest.approx(found.error, rel=0.3)
    assert list(found.curve) == sorted(found.curve, reverse=True)


def test_equal_models_have_no_noise(tmp_path: Path) -> None:
    from aligner.api.sensing import sensitivity

    found = sensitivity(chain(tmp_path / "one.onnx"), chain(tmp_path / "other.onnx"), {"x": X})
    assert (found.spread, found.error, found.halving) == ("none", 0.0, 0)


def test_lists_name_the_nodes(tmp_path: Path) -> None:
    from aligner.api.sensing import sensitivity
    from aligner.report.exclusion_lists import exclusion_lists

    right = chain(tmp_path / "float.onnx")
    held = ranges(right)
    held[4] /= 4
    lists = exclusion_lists(sensitivity(right, chain(tmp_path / "int8.onnx", held), {"x": X}), 1)
    assert lists["onnxruntime quantize_static"] == "nodes_to_exclude=['conv4']"
    assert lists["trtexec"] == "--precisionConstraints=obey --layerPrecisions=conv4:fp32"
    assert lists["NNCF"] == "ignored_scope=nncf.IgnoredScope(patterns=['^conv4(/WithoutBiases)?$'])"
    ast.parse(lists["OpenVINO"])
    assert "coremltools" not in lists  # which reads no ONNX


@pytest.mark.parametrize("framework", ["torchscript", "torch-export", "pytorch"])
def test_core_ml_is_told_tensors_and_modules(framework: str) -> None:
    """What coremltools 9 calls them as it asks its op_selector: tensors that it counted have other numbers."""
    from types import SimpleNamespace

    from aligner.records.comparison import ModelSummary
    from aligner.records.sensitivity import SensitiveNode, Sensitivity
    from aligner.report.exclusion_lists import exclusion_lists

    side = ModelSummary("", framework, "", 2)
    tensors = {"26": "first", "input.1": None}
    nodes = tuple(SensitiveNode(name, name, "", (), (), scope, 1, 0, 1) for name, scope in tensors.items())
    words = exclusion_lists(Sensitivity(side, side, 1.0, 1.0, nodes), 2)["coremltools"]
    selector = eval(words.partition("op_selector=")[2].removesuffix(")"))
    told = {
        name: selector(SimpleNamespace(outputs=[SimpleNamespace(name=name)], scopes={"name": path, "handle": [None]}))
        for name, path in {"19": ["first", "19"], "input.1": ["input.1"], "31": ["second", "31"]}.items()
    }
    assert told == {"19": False, "input.1": False, "31": True}


@requires_openvino
def test_list_names_nodes_as_openvino_does(tmp_path: Path) -> None:
    import onnx
    import openvino
    from onnx import numpy_helper

    from aligner.api.sensing import sensitivity
    from aligner.report.exclusion_lists import exclusion_lists

    right = chain(tmp_path / "float.onnx")
    model = onnx.load(right)
    model.graph.initializer.append(numpy_helper.from_array(np.ones(8, "f4"), "bias"))
    model.graph.node[4].input.append("bias")
    onnx.save(model, right)
    twin = chain(tmp_path / "int8.onnx", ranges(right))
    held = {"model": openvino.Core().read_model(right)}
    exec(exclusion_lists(sensitivity(right, twin, {"x": X}), LAYERS)["OpenVINO"], held)
    marked = [op.get_type_name() for op in held["model"].get_ops() if "precise_0" in op.get_rt_info()]
    assert marked.count("Convolution") == LAYERS and marked.count("Add") == 1


def test_command_writes_all_faces(tmp_path: Path) -> None:
    right = chain(tmp_path / "float.onnx")
    chain(tmp_path / "int8.onnx", ranges(right))
    np.save(tmp_path / "x.npy", X)
    words = ("float.onnx", "int8.onnx", "--input", "x.npy", "--json", "found.json", "--html", "found.html")
    told = run(tmp_path, "sensitivity", *words)
    assert told.code == 0 and told.out.startswith("DEPTH"), told.err
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["format"] == "aligner.sensitivity/1" and len(document["curve"]) == len(document["nodes"]) + 1
    assert "conv0" in document["exclude"]["NNCF"] or document["halving"] < LAYERS
    page = (tmp_path / "found.html").read_text()
    assert "uPlot" in page and "http://" not in page.replace("http://www.w3.org", "")


def test_report_is_checked(tmp_path: Path) -> None:
    right = chain(tmp_path / "float.onnx")
    chain(tmp_path / "int8.onnx", ranges(right))
    np.save(tmp_path / "x.npy", X)
    assert run(tmp_path, "compare", right, "int8.onnx", "--input", "x.npy", "--json", "run.json").code == 0
    assert run(tmp_path, "sensitivity", "run.json").out.startswith("DEPTH")
    chain(tmp_path / "int8.onnx")
    told = run(tmp_path, "sensitivity", "run.json")
    assert told.code == 2 and "not of these files as they are now" in told.err


def test_recordings_are_refused(tmp_path: Path) -> None:
    right = chain(tmp_path / "float.onnx")
    np.save(tmp_path / "x.npy", X)
    assert run(tmp_path, "capture", right, "--input", "x.npy", "-o", "run.npz").code == 0
    told = run(tmp_path, "sensitivity", right, "run.npz", "--input", "x.npy")
    assert told.code == 2 and "takes two models that run" in told.err
