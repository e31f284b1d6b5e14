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


def test_a_range_that_is_too_small_is_told_beside_the_steps_of_what_is_read():
    from aligner.causes.cause import held
    from aligner.causes.families.quantization import QuantizationCalibration, Site
    from aligner.regions.culprit import distance

    right = np.linspace(-0.8, 0, 400)
    endless = right + RNG.uniform(-0.02, 0.02, 400)  # what is read has steps of 0.04, the tensor of 0.0009
    seen = np.clip(endless, -0.22, 0)
    claims = list(QuantizationCalibration().quantized(Site("t", 0.0009, right, seen, held, endless=endless)))
    assert len(claims) == 1 and claims[0].predict is not None and claims[0].needed is not None
    assert 1 - distance(seen, claims[0].predict()) / distance(seen, right) > claims[0].needed


def in_bytes(largest: int):
    """What is said of a convolution of bytes, with weights up to so much, whose output looking has changed."""
    from onnx_models import model, node, value, weights

    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model
    from aligner.causes.context import Context
    from aligner.causes.global_causes import find_global_causes
    from aligner.records.observation import Observations, ObservedDifference

    kernel = (KERNEL / np.abs(KERNEL).max() * largest).round().astype(np.int8)
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "store"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], "read"),
        node("DequantizeLinear", ["k", "s"], ["w"], "weight"),
        node("Conv", ["d", "w"], ["y"], "conv"),
    ]
    stored = weights(s=np.float32(0.01), z=np.uint8(128), k=kernel)
    made = model(nodes, [value("x", 1, X.shape)], [value("y", 1, (2, 4, 10, 8))], stored)
    session = open_model(made, OpenOptions())
    graph = session.graph(None)
    session.close()
    seen = Observations(changed=(ObservedDifference(1, "y", "observing changes output y"),))
    return find_global_causes(Context((graph, graph), [], [], observations=seen))


def test_products_of_large_bytes_saturate():
    found = in_bytes(127)
    assert [(one.id, one.node) for one in found] == [("integer-saturation", "conv")]
    assert "reduce_range" in found[0].suggestion


def test_bytes_of_seven_bits_do_not_saturate():
    found = in_bytes(64)
    assert [one.id for one in found] == ["capture-artefact"]
    assert "optimisations off" in found[0].suggestion


@pytest.mark.parametrize("turned", [False, True])
def test_an_epsilon_is_read_from_a_kernel_of_eight_bits_in_which_the_norm_is_folded(turned):
    from onnx_models import model, node, value, weights

    gamma, beta, mean = (RNG.uniform(0.5, 1.5, 4).astype(np.float32) for _ in range(3))
    variance = RNG.uniform(0.002, 0.02, 4).astype(np.float32)
    factor = gamma / np.sqrt(variance + 1e-5)
    kernel = KERNEL * factor[:, None, None, None]
    scale = np.abs(kernel).max((1, 2, 3)) / 127
    coded = (kernel / scale[:, None, None, None]).round().astype(np.int8)
    ends = [value("x", 1, X.shape)], [value("y", 1, (2, 4, 10, 8))]
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"], "store"),
        node("DequantizeLinear", ["q", "s", "z"], ["d"], "read"),
        node("DequantizeLinear", ["k", "ks", "kz"], ["w"], "weight", axis=0),
        node("Conv", ["d", "w", "b"], ["y"], "conv"),
    ]
    stored = weights(s=np.float32(2 / 255), z=np.uint8(128), k=coded, ks=scale, kz=0 * coded[:, 0, 0, 0])
    folded = model(nodes, *ends, stored + weights(b=beta - mean * factor))
    nodes = [
        node("Conv", ["x", "k"], ["c"], "conv"),
        node("BatchNormalization", ["c", *"ghmv"], ["y"], "n", epsilon=1e-3),
    ]
    bare = model(nodes, *ends, weights(k=KERNEL, g=gamma, h=beta, m=mean, v=variance))
    first = aligner.compare(*((folded, bare) if turned else (bare, folded)), X).causes[0]
    assert (first.id, first.evidence_class) == ("norm-epsilon", "proven"), first
    assert "1e-05" in first.evidence and "0.001" in first.evidence
