"""The smallest pairs on which a rewrite was once taken for a fault."""

from __future__ import annotations

import numpy as np
import pytest

import aligner
from tests.marks import requires_onnx

pytestmark = requires_onnx


def _convolutions(build, activation):
    x = build.conv("x", (8, 8))
    x = build.op("LeakyRelu", x, alpha=0.1) if activation == "leaky" else build.op("Relu", x)
    return build.conv(x, (8, 8))


def _gelu(build):
    return build.linear(build.activation("x", "gelu_tanh"), (7, 5))


def _rotary(build):
    turns = (build.keep(build.normal(1, 1, 7, 7)), build.keep(build.normal(1, 1, 7, 7)))
    left, right = build.slice("x", 3, 0, 3), build.slice("x", 3, 3, 7)
    turned = build.op("Concat", build.op("Neg", right), left, axis=-1)
    return build.op("Add", build.op("Mul", "x", turns[0]), build.op("Mul", turned, turns[1]))


HOSTS = {
    "permute_channels": lambda build: _convolutions(build, "leaky"),
    "factor_through_rectifier": lambda build: _convolutions(build, "relu"),
    "gelu_tanh": _gelu,
    "softmax_over_another_axis": lambda build: build.op("Softmax", "x", axis=-1),
    "transposed_product": lambda build: build.op("MatMul", "x", build.keep(build.normal(7, 7))),
    "sigmoid_by_tanh": lambda build: build.op("Mul", "x", build.op("Sigmoid", build.linear("x", (7, 7)))),
    "gelu": lambda build: build.linear(build.gelu(build.linear("x", (7, 7))), (7, 5)),
    "move_apart": lambda build: build.op("MatMul", build.transpose("x", 0, 2, 1, 3), build.keep(build.normal(7, 5))),
    "island_around_activation": _rotary,
    "split_projection": lambda build: build.op("Tanh", build.linear("x", (7, 7))),
    "reassociate": lambda build: build.op("Add", build.op("Add", "x", build.op("Tanh", "x")), build.op("Exp", "x")),
    "mask_by_choice": lambda build: build.op(
        "Softmax", build.op("Add", "x", build.keep(np.triu(np.full((7, 7), -1e9), 1))), axis=-1
    ),
}


@pytest.mark.parametrize("name", HOSTS)
def test_a_rewrite_of_a_small_graph_is_aligned(tmp_path, name):
    from benchmarks.converters.graph import to_proto
    from benchmarks.converters.networks.builder import Builder
    from benchmarks.converters.rewrites import apply

    rng = np.random.default_rng(4)
    build = Builder(rng, {"x": rng.standard_normal((2, 8, 7, 7)).astype(np.float32)}, opset=17)
    reference = build.finish(HOSTS[name](build))
    candidate = reference.copy()
    assert apply(candidate, name, rng)
    for stem, graph in (("ref", reference), ("cand", candidate)):
        (tmp_path / f"{stem}.onnx").write_bytes(to_proto(graph).SerializeToString())
    result = aligner.compare(str(tmp_path / "ref.onnx"), str(tmp_path / "cand.onnx"), reference.feeds)
    assert result.verdict == "aligned"


def _upsampled(bias, *, cropped_later):
    """A transposed convolution that loses its last row and column: by its pads, or by a slice behind it."""
    from tests.onnx_models import model, node, value, weights

    kernel = np.random.default_rng(1).standard_normal((3, 4, 3, 3)).astype(np.float32)
    stored = {"k": kernel, "b": bias, "begin": np.array([0, 0]), "end": np.array([-1, -1]), "axes": np.array([2, 3])}
    if cropped_later:
        nodes = [
            node("ConvTranspose", ["x", "k", "b"], ["wide"], strides=[2, 2]),
            node("Slice", ["wide", "begin", "end", "axes"], ["sum"]),
        ]
    else:
        stored["b"] = bias.reshape(4, 1, 1)
        nodes = [
            node("ConvTranspose", ["x", "k"], ["wide"], strides=[2, 2], pads=[0, 0, 1, 1]),
            node("Add", ["wide", "b"], ["sum"]),
        ]
    nodes.append(node("Tanh", ["sum"], ["y"]))
    return model(nodes, [value("x", shape=(1, 3, 6, 6))], [value("y", shape=(1, 4, 12, 12))], weights(**stored))


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("fault", [False, True])
def test_a_crop_behind_a_layer_is_no_fault_beside_a_bias_that_is_missing(tmp_path, later, fault):
    bias = np.array([0.3, -0.5, 0.8, 0.2], np.float32)
    paths = [str(tmp_path / f"{side}.onnx") for side in ("reference", "candidate")]
    for side, path in enumerate(paths):
        built = _upsampled(bias * (not (fault and side)), cropped_later=later == bool(side))
        (tmp_path / path).write_bytes(built.SerializeToString())
    x = np.random.default_rng(0).standard_normal((1, 3, 6, 6)).astype(np.float32)
    result = aligner.compare(*paths, {"x": x})
    assert result.verdict == ("diverged" if fault else "aligned")
    assert [cause.id for cause in result.causes] == (["weights-bias-missing"] if fault else [])


def _score(factor, *, folded):
    """A score of two embeddings, of one number where there is one of each, times a factor; and the same transposed."""
    from tests.onnx_models import model, node, value, weights

    drawn = np.random.default_rng(2).standard_normal((2, 6, 4)).astype(np.float32)
    stored = {"a": drawn[0], "b": drawn[1], "t": np.log(np.float32(factor)), "none": np.zeros(1, np.float32)}
    names = ("o1", "o2") if folded else ("back", "score")
    nodes = [node("MatMul", ["x", "a"], ["left"]), node("MatMul", ["z", "b"], ["right"])]
    if folded:
        nodes.append(node("FusedMatMul", ["left", "right"], [names[1]], domain="com.microsoft", alpha=factor, transB=1))
    else:
        nodes += [
            node("Transpose", ["right"], ["turned"], perm=[1, 0]),
            node("MatMul", ["left", "turned"], ["plain"]),
            node("Exp", ["t"], ["scale"]),
            node("Mul", ["plain", "scale"], [names[1]]),
        ]
    nodes.append(node("Transpose", [names[1]], [names[0]], perm=[1, 0]))
    inputs = [value("x", shape=(1, 6)), value("z", shape=(1, 6))]
    outputs = [value(name, shape=(1, 1)) for name in names]
    return model(nodes, inputs, outputs, weights(**stored), domains=("com.microsoft",) if folded else ())


@pytest.mark.parametrize("fault", [1.0, 1.2])
def test_outputs_of_one_number_are_told_by_it(tmp_path, fault):
    paths = [str(tmp_path / f"{side}.onnx") for side in ("reference", "candidate")]
    for side, path in enumerate(paths):
        (tmp_path / path).write_bytes(_score(3.7 * (fault if side else 1), folded=bool(side)).SerializeToString())
    x, z = np.random.default_rng(0).standard_normal((2, 1, 6)).astype(np.float32)
    assert aligner.compare(*paths, {"x": x, "z": z}).verdict == ("aligned" if fault == 1 else "diverged")
