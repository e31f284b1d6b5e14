"""Casts that lose digits: each form of a tensor answers the form of its own precision."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

X = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)


def narrowed(path, to, last="Exp"):
    """A tensor there and back through fewer bits, and a node behind it."""
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("Cast", ["x"], ["short"], to=to),
        make.make_node("Cast", ["short"], ["long"], to=real),
        make.make_node(last, ["long"], ["y"]),
    ]
    ends = [make.make_tensor_value_info(name, real, [2, 6]) for name in ("x", "y")]
    graph = make.make_graph(nodes, "g", ends[:1], ends[1:])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("to", ["FLOAT16", "BFLOAT16"])
def test_what_both_sides_round_alike_is_no_difference(to, tmp_path):
    to = getattr(onnx.TensorProto, to)
    result = aligner.compare(narrowed(tmp_path / "a.onnx", to), narrowed(tmp_path / "b.onnx", to, "Softplus"), X)
    assert [pair.reference.name for pair in result.pairs] == ["x", "short", "long", "y"]
    assert result.first_divergence.candidate.name == "y"
