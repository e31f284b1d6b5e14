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
