"""ONNX: nodes, attributes, provenance and quantisation as the graph tells them."""

from __future__ import annotations

import numpy as np
import onnx_models as make
import pytest
from marks import requires_onnx

from aligner.adapters.base import OpenOptions

pytestmark = requires_onnx


def graph_of(nodes, shape, initializers=(), feeds=None, **options):
    from aligner.adapters.onnx_adapter.adapter import OnnxAdapter

    outputs = [make.value(nodes[-1].output[0], 1, None)]
    proto = make.model(nodes, [make.value("x", 1, shape)], outputs, initializers, **options)
    return OnnxAdapter().open(proto, OpenOptions()).graph(feeds)


def only(nodes, shape, **weights):
    options = {"opset": weights.pop("opset")} if "opset" in weights else {}
    return graph_of([nodes], shape, make.weights(**weights), **options).nodes[0]


KERNEL = np.zeros((4, 3, 3, 3), np.float32)


def test_defaults_are_filled_in():
    conv = only(make.node("Conv", ["x", "w"], ["y"], "conv"), [1, 3, 9, 9], w=KERNEL)
    assert conv.kind == "conv" and conv.weights == ("w",)
    assert dict(conv.attributes) == {
        "kernel": (3, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": ((0, 0), (0, 0)),
        "groups": 1,
    }


@pytest.mark.parametrize(
    ("auto_pad", "pads"),
    [("SAME_UPPER", ((0, 1), (1, 1))), ("SAME_LOWER", ((1, 0), (1, 1))), ("VALID", ((0, 0), (0, 0)))],
)
def test_auto_pad_becomes_explicit(auto_pad, pads):
    conv = only(make.node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=[2, 1]), [1, 3, 8, 8], w=KERNEL)
    assert conv.attributes["pads"] == pads and "auto_pad" not in conv.attributes


def test_auto_pad_stays_where_the_size_is_not_known():
    conv = only(make.node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER"), [1, 3, "h", "w"], w=KERNEL)
    assert conv.attributes["auto_pad"] == "SAME_UPPER" and "pads" not in conv.attributes


def test_feeds_make_sizes_known():
    nodes = [make.node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2])]
    feeds = {"x": np.zeros((2, 3, 8, 8), np.float32)}
    graph = graph_of(nodes, ["n", 3, "h", "w"], make.weights(w=KERNEL), feeds)
    assert graph.nodes[0].attributes["pads"] == ((0, 1), (0, 1))
    assert graph.values["y"].shape == (2, 4, 4, 4)


def test_transposed_convolution_with_an_output_size():
    node = make.node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], output_shape=[16, 16])
    assert only(node, [1, 3, 8, 8], w=np.zeros((3, 4, 3, 3), np.float32)).attributes["pads"] == ((1, 0), (1, 0))


def test_constant_inputs_are_attributes():
    node = make.node("Resize", ["x", "", "scales"], ["y"], mode="nearest")
    resize = only(node, [1, 3, 4, 4], scales=np.array([1, 1, 2, 2], np.float32))
    assert resize.attributes["scales"] == (1.0, 1.0, 2.0, 2.0)
    assert resize.attributes["coordinate_transformation_mode"] == "half_pixel"
    assert resize.inputs == ("x", "", "scales")
    pad = only(make.node("Pad", ["x", "p"], ["y"]), [2, 3], p=np.array([1, 0, 2, 3]))
    assert pad.attributes["pads"] == ((1, 2), (0, 3))
    reduced = only(make.node("ReduceMean", ["x", "a"], ["y"], keepdims=0), [2, 3, 4], a=np.array([-1, 0]))
    assert reduced.attributes["axes"] == (2, 0) and reduced.kind == "reduce"
    shaped = only(make.node("Reshape", ["x", "s"], ["y"]), [2, 3], s=np.array([3, -1]))
    assert shaped.attributes["shape"] == (3, -1)
    cut = only(make.node("Slice", ["x", "b", "e"], ["y"]), [5, 3], b=np.array([1]), e=np.array([4]))
    assert cut.attributes["starts"] == (1,) and cut.attributes["ends"] == (4,)


@pytest.mark.parametrize(
    ("limits", "kind"), [({"low": 0, "high": 6}, "relu6"), ({"low": 0}, "relu"), ({"low": -1, "high": 1}, "clip")]
)
def test_clip_is_told_apart_by_its_limits(limits, kind):
    weights = {name: np.float32(number) for name, number in limits.items()}
    node = only(make.node("Clip", ["x", *weights], ["y"]), [3], **weights)
    assert node.kind == kind and node.attributes["min"] == limits["low"]
    old = only(make.node("Clip", ["x"], ["y"], min=0.0, max=6.0), [3], opset=10)
    assert old.kind == "relu6"


def test_small_things():
    assert only(make.node("Transpose", ["x"], ["y"]), [2, 3, 4]).attributes["perm"] == (2, 1, 0)
    assert only(make.node("Softmax", ["x"], ["y"]), [2, 3]).attributes["axis"] == 1
    assert only(make.node("Cast", ["x"], ["y"], to=10), [2]).attributes["to"] == "float16"
    assert only(make.node("LeakyRelu", ["x"], ["y"]), [2]).attributes["alpha"] == 0.01
    unnamed = graph_of([make.node("Neg", ["x"], ["a"]), make.node("Abs", ["a"], ["y"])], [2])
    assert [node.name for node in unnamed.nodes] == ["Neg_0", "Abs_1"]


def test_operators_of_the_runtime():
    node = make.node("FusedConv", ["x", "w"], ["y"], "fused", domain="com.microsoft", activation="Relu", group=1)
    graph = graph_of([node], [1, 3, 8, 8], make.weights(w=KERNEL), domains=["com.microsoft"])
    assert graph.nodes[0].op == "com.microsoft::FusedConv" and graph.nodes[0].kind == "conv"
    assert graph.nodes[0].attributes["fused_activation"] == "relu"
    assert graph.values["y"].dtype == "float32"  # ONNX cannot infer it, the runtime can


def test_constant_nodes_are_nodes_and_weights():
    nodes = [make.node("Constant", [], ["k"], "k", value_floats=[1.0, 2.0]), make.node("Add", ["x", "k"], ["y"])]
    graph = graph_of(nodes, [2])
    assert graph.nodes[0].kind == "constant" and graph.nodes[1].weights == ("k",)
    np.testing.assert_array_equal(graph.weights["k"].load(), [1, 2])


def test_quantisation_is_read_from_the_nodes_around_a_value():
    nodes = [
        make.node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        make.node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        make.node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        make.node("MatMul", ["d", "wd"], ["y"]),
    ]
    scales = np.array([0.5, 0.25], np.float32)
    weights = make.weights(
        s=np.float32(0.1), z=np.int8(-3), w=np.ones((2, 4), np.int8), ws=scales, wz=np.zeros(2, np.int8)
    )
    graph = graph_of(nodes, [1, 2], weights)
    activation, weight = graph.values["q"].quantization, graph.weights["w"].quantization
    assert activation.zero_point == (-3,) and activation.axis is None
    assert activation.scale == pytest.approx((0.1,))
    assert weight.scale == (0.5, 0.25) and weight.axis == 0
    assert graph.values["d"].quantization is None


@pytest.mark.parametrize(
    ("name", "op", "scope"),
    [
        ("/layer1/layer1.0/conv1/Relu", "Relu", "layer1.0.conv1"),
        ("/features/features.1/conv/conv.0/conv.0.0/Relu_1", "Relu", "features.1.conv.0.0"),
        ("/Relu", "Relu", None),
        ("/not/a/scope", "Relu", None),
        ("model/dense/Relu", "Relu", None),
    ],
)
def test_scopes_of_the_older_exporter_stand_in_the_names(name, op, scope):
    assert only(make.node(op, ["x"], ["y"], name), [2]).scope == scope


def test_scope_and_source_of_the_newer_exporter_stand_in_the_metadata():
    node = make.node("Relu", ["x"], ["y"], "node_relu")
    entries = {
        "pkg.torch.onnx.name_scopes": "['', 'layer1', 'layer1.0', 'layer1.0.act', 'relu']",
        "pkg.torch.onnx.stack_trace": 'File "/home/me/net.py", line 7, in forward\n    return self.act(x)\n'
        '  File "/usr/lib/python3/site-packages/torch/nn/modules/activation.py", line 133, in forward\n    F.relu()',
    }
    for key, text in entries.items():
        node.metadata_props.add(key=key, value=text)
    told = only(node, [2])
    assert told.scope == "layer1.0.act" and told.source == "net.py:7"


def test_malformed_metadata_is_passed_over():
    node = make.node("Relu", ["x"], ["y"], "relu")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value="__import__('os')")
    assert only(node, [2]).scope is None


def test_a_quantised_product_has_a_scale_for_each_column_and_what_moves_its_result_keeps_its_meaning():
    operands = ["xq", "s", "z", "w", "ws", "wz", "s", "z"]
    nodes = [
        make.node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        make.node("QLinearMatMul", operands, ["q"]),
        make.node("Reshape", ["q", "shape"], ["r"]),
        make.node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    weights = make.weights(
        s=np.float32(0.1),
        z=np.uint8(3),
        w=np.ones((2, 4), np.int8),
        ws=np.array([0.5, 0.25, 0.5, 0.25], np.float32),
        wz=np.zeros(4, np.int8),
        shape=np.array([4], np.int64),
    )
    graph = graph_of(nodes, [1, 2], weights)
    assert graph.weights["w"].quantization.axis == 1
    assert graph.values["r"].quantization == graph.values["q"].quantization is not None
