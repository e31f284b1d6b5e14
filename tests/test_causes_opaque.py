"""Operators that only their runtime can compute: what stands in the two files is all that can be said."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import aligner  # noqa: E402

X = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)


def tree(path, threshold, offset=0.0):
    """Scaled numbers through one tree of one branch, and its classes' scores by name."""
    make = onnx.helper
    nodes = [
        make.make_node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[offset, 0.2], scale=[1.0, 2.0]),
        make.make_node(
            "TreeEnsembleClassifier",
            ["scaled"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            nodes_treeids=[0, 0, 0],
            nodes_nodeids=[0, 1, 2],
            nodes_featureids=[0, 0, 0],
            nodes_values=[threshold, 0.0, 0.0],
            nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
            nodes_truenodeids=[1, 0, 0],
            nodes_falsenodeids=[2, 0, 0],
            class_treeids=[0, 0],
            class_nodeids=[1, 2],
            class_ids=[0, 1],
            class_weights=[1.0, 1.0],
            classlabels_int64s=[0, 1],
        ),
        make.make_node("ZipMap", ["scores"], ["named"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
    ]
    entry = make.make_map_type_proto(onnx.TensorProto.INT64, make.make_tensor_type_proto(onnx.TensorProto.FLOAT, []))
    outputs = [
        make.make_tensor_value_info("label", onnx.TensorProto.INT64, [None]),
        make.make_value_info("named", make.make_sequence_type_proto(entry)),
    ]
    inputs = [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])]
    imports = [make.make_opsetid("", 17), make.make_opsetid("ai.onnx.ml", 3)]
    model = make.make_model(make.make_graph(nodes, "g", inputs, outputs), opset_imports=imports, ir_version=9)
    onnx.save(model, path)
    return path


def test_other_numbers_inside_an_operator_that_cannot_be_recomputed(tmp_path):
    found = aligner.compare(tree(tmp_path / "a.onnx", 0.5), tree(tmp_path / "b.onnx", -0.5), X).causes
    assert found[0].id == "attributes-differ" and found[0].evidence_class == "suspected"
    assert "nodes_values (-0.5, 0, 0)" in found[0].evidence and "(0.5, 0, 0)" in found[0].evidence


def test_the_same_operator_is_not_blamed(tmp_path):
    result = aligner.compare(tree(tmp_path / "a.onnx", 0.5), tree(tmp_path / "b.onnx", 0.5, offset=0.7), X)
    assert result.first_divergence.candidate.op.endswith("Scaler")
    assert not any("TreeEnsemble" in cause.evidence for cause in result.causes)


def test_a_tree_is_aligned_with_itself(tmp_path):
    path = tree(tmp_path / "a.onnx", 0.5)
    assert aligner.compare(path, path, X).verdict == "aligned"


def loop(path, inner="Add", trips=4):
    """A few additions of the input to itself, and a node behind them."""
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    body = make.make_graph(
        [
            make.make_node(inner, ["state", "x"], ["next"]),
            make.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            make.make_tensor_value_info("at", onnx.TensorProto.INT64, []),
            make.make_tensor_value_info("go", onnx.TensorProto.BOOL, []),
            make.make_tensor_value_info("state", real, [8, 2]),
        ],
        [
            make.make_tensor_value_info("on", onnx.TensorProto.BOOL, []),
            make.make_tensor_value_info("next", real, [8, 2]),
        ],
    )
    nodes = [
        make.make_node("Loop", ["trips", "always", "x"], ["last"], body=body),
        make.make_node("Relu", ["last"], ["y"]),
    ]
    stored = [
        onnx.numpy_helper.from_array(np.int64(trips), "trips"),
        onnx.numpy_helper.from_array(np.bool_(True), "always"),
    ]
    ends = [make.make_tensor_value_info(name, real, [8, 2]) for name in ("x", "y")]
    graph = make.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize(
    ("changed", "told"), [({"inner": "Sub"}, "body (Sub, Identity)"), ({"trips": 3}, "operand 0 3")]
)
def test_a_loop_of_another_body_or_of_other_constants(changed, told, tmp_path):
    result = aligner.compare(loop(tmp_path / "a.onnx"), loop(tmp_path / "b.onnx", **changed), X)
    assert result.first_divergence.candidate.name == "last"
    assert result.causes[0].id == "attributes-differ" and told in result.causes[0].evidence


def collected(path, inner="Tanh"):
    """A recurrence whose steps a loop collects in a sequence that starts empty, as PyTorch's exporter writes lists."""
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
    g (float[8, 2] x) => (float[N, 2] y) <int64 trips = {{3}}, bool go = {{1}}> {{
      none = SequenceEmpty <dtype = 1> ()
      last, all = Loop (trips, go, x, none) <body = body (int64 at, bool on, float[8, 2] state, seq(float[8, 2]) kept)
        => (bool on_, float[8, 2] next, seq(float[8, 2]) more) {{
          on_ = Identity (on)
          next = {inner} (state)
          more = SequenceInsert (kept, next)
        }}>
      steps = ConcatFromSequence <axis = 0> (all)
      y = Relu (steps)
    }}"""
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_a_sequence_that_starts_empty_is_no_tensor_to_look_at(tmp_path):
    result = aligner.compare(collected(tmp_path / "a.onnx"), collected(tmp_path / "b.onnx", "Sigmoid"), X)
    assert result.verdict == "diverged" and result.first_divergence.candidate.name == "last"


def pick(path, place):
    """One of the parts that a sequence is split into."""
    make, real = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        make.make_node("SplitToSequence", ["x"], ["parts"], axis=0, keepdims=1),
        make.make_node("SequenceAt", ["parts", "place"], ["one"]),
        make.make_node("Relu", ["one"], ["y"]),
    ]
    stored = [onnx.numpy_helper.from_array(np.int64(place), "place")]
    ends = [make.make_tensor_value_info("x", real, [8, 2]), make.make_tensor_value_info("y", real, [1, 2])]
    graph = make.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_a_sequence_cannot_be_looked_at_and_is_passed_over(tmp_path):
    result = aligner.compare(pick(tmp_path / "a.onnx", 2), pick(tmp_path / "b.onnx", 3), X)
    assert result.first_divergence.candidate.name == "one"
    assert "operand 1 3, the reference's operand 1 2" in result.causes[0].evidence
