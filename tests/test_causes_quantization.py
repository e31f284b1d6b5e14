"""Scales, zero points and ranges of quantised tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

RNG = np.random.default_rng(0)
KERNEL = (RNG.standard_normal((4, 3, 3, 3)) * 0.3).astype(np.float32)
X = RNG.uniform(-1, 1, (2, 3, 12, 10)).astype(np.float32)


def save(path: Path, stored=None, read=None) -> Path:
    """A convolution of tanh(x); ``stored`` and ``read`` are (scale, zero point) of the tensor between, or None."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Tanh", ["x"], ["t"])]
    weights = {"k": KERNEL}
    source = "t"
    if stored is not None:
        weights |= {"s0": np.float32(stored[0]), "z0": np.uint8(stored[1])}
        weights |= {"s1": np.float32(read[0]), "z1": np.uint8(read[1])}
        nodes += [
            helper.make_node("QuantizeLinear", ["t", "s0", "z0"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s1", "z1"], ["d"]),
        ]
        source = "d"
    nodes.append(helper.make_node("Conv", [source, "k"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", floats, X.shape)],
        [helper.make_tensor_value_info("y", floats, (2, 4, 10, 8))],
        [onnx.numpy_helper.from_array(np.asarray(v), n) for n, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(path))
    return path


RIGHT = (0.0062, 128)
FAULTS = {
    "quantization-scale": (RIGHT, (0.0093, 128)),
    "quantization-zero-point": (RIGHT, (0.0062, 152)),
    "quantization-calibration": ((0.0016, 128), (0.0016, 128)),
}


def found(tmp_path: Path, stored, read):
    return aligner.compare(save(tmp_path / "float.onnx"), save(tmp_path / "int8.onnx", stored, read), X).causes


@pytest.mark.parametrize("identifier", FAULTS)
def test_a_quantisation_that_is_wrong_is_named_with_proof(tmp_path, identifier):
    first = found(tmp_path, *FAULTS[identifier])[0]
    assert first.id == identifier, first
    assert first.explained is not None and first.explained > 0.7


@pytest.mark.parametrize("identifier", FAULTS)
def test_another_fault_of_quantisation_is_not_taken_for_it(tmp_path, identifier):
    names = list(FAULTS)
    other = names[(names.index(identifier) + 1) % len(names)]
    assert found(tmp_path, *FAULTS[other])[0].id != identifier


def test_a_right_quantisation_has_no_proven_cause(tmp_path):
    assert all(finding.explained is None for finding in found(tmp_path, RIGHT, RIGHT))
