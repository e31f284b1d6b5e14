"""Models whose runtime fuses otherwise where a tensor is replaced: onnxruntime quantises the float weights of a
convolution between quantised tensors, and no longer does when one of them is given."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

X = np.random.default_rng(2).uniform(-1, 1, (1, 8, 16, 16)).astype(np.float32)
LAYERS = 4


def chain(path, *, quantised=True, read_with=1.0):
    """Convolutions of float weights, each result quantised and taken back; the second one by another scale."""
    make, rng = onnx.helper, np.random.default_rng(1)
    nodes, weights, source = [], {"zero": np.int8(0), "scale": np.float32(3 / 127)}, "x"
    weights["other"] = np.float32(read_with * 3 / 127)
    for number in range(LAYERS):
        weights[f"k{number}"] = (rng.standard_normal((8, 8, 3, 3)) / 12).astype(np.float32)
        nodes.append(make.make_node("Conv", [source, f"k{number}"], [f"c{number}"], pads=[1] * 4))
        source = f"c{number}"
        if quantised:
            scale = "other" if number == 1 else "scale"
            nodes.append(make.make_node("QuantizeLinear", [source, "scale", "zero"], [f"q{number}"]))
            nodes.append(make.make_node("DequantizeLinear", [f"q{number}", scale, "zero"], [f"d{number}"]))
            source = f"d{number}"
    nodes.append(make.make_node("Identity", [source], ["y"]))
    ends = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, X.shape) for name in ("x", "y")]
    stored = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = make.make_graph(nodes, "chain", ends[:1], ends[1:], stored)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_model_is_aligned_with_itself(tmp_path):
    path = chain(tmp_path / "chain.onnx")
    result = aligner.compare(path, path, X)
    assert result.verdict == "aligned"
    assert all(pair.verdict == "aligned" for pair in result.pairs)


def test_the_only_fault_is_the_only_culprit(tmp_path):
    right, wrong = chain(tmp_path / "right.onnx"), chain(tmp_path / "wrong.onnx", read_with=1.3)
    result = aligner.compare(right, wrong, X)
    assert result.first_divergence.candidate.name == "d1"
    assert result.causes[0].id == "quantization-scale"


def test_tensors_quantised_as_a_rule_are_declared(tmp_path):
    plain = chain(tmp_path / "plain.onnx", quantised=False)
    assert aligner.compare(plain, chain(tmp_path / "coded.onnx"), X).verdict == "aligned"
    found = aligner.compare(plain, chain(tmp_path / "wrong.onnx", read_with=1.3), X)
    assert found.first_divergence.candidate.name == "d1"
