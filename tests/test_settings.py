"""Settings are records of their kind's family; parameters have the layout that the operation's kind says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner.operations.kernels  # noqa: F401 - registers what computes
from aligner.operations import operation as operations
from aligner.operations.layouts import LAYOUTS, axis_of
from aligner.operations.operation import Operation, Unsupported, compute
from aligner.operations.settings import (
    BatchNorm,
    Convolution,
    LayerNorm,
    Settings,
    Softmax,
    TransposedConvolution,
    Windowed,
)
from aligner.operations.settings.base import told_kinds

WINDOW = {"strides": (1,), "dilations": (1,), "pads": ((0, 0),), "channels": "first"}


def test_every_kind_with_settings_has_what_computes_it():
    assert told_kinds() <= operations._COMPUTERS.keys()


def test_settings_become_the_family_with_its_defaults():
    settings = Operation("conv", WINDOW, ()).read(Convolution)
    assert (settings.groups, settings.padding_mode) == (1, "constant")
    assert dict(settings) == {**WINDOW, "groups": 1, "padding_mode": "constant"}
    assert isinstance(Operation("norm", {"form": "batch", "epsilon": 1e-5, "axis": 1}, ()).settings, BatchNorm)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("conv", {**WINDOW, "gruops": 2}),
        ("conv", {"strides": (1,)}),
        ("add", {"alpha": 1.0}),
        ("norm", {"form": "unheard of", "epsilon": 0.0, "axis": 1, "order": 3}),
    ],
)
def test_what_a_family_does_not_know_or_lacks_is_refused(kind, settings):
    with pytest.raises(Unsupported):
        Operation(kind, settings, ())


def test_settings_of_another_family_are_refused():
    with pytest.raises(Unsupported, match="conv has no settings of Softmax"):
        Operation("conv", WINDOW, ()).read(Softmax)


def test_records_are_frozen_and_mappings():
    settings = LayerNorm(epsilon=1e-5, axis=1, axes=(2,))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.epsilon = 0.0
    assert settings == {"form": "layer", "epsilon": 1e-5, "axis": 1, "axes": (2,), "correction": 0.0}
    assert "fused_activation" not in settings
    assert settings.get("fused_activation", "none") == "none"


def test_what_is_fused_in_is_said_only_where_it_is():
    fused = Operation("add", {}, (np.float32([-1]), np.float32([0]))).with_settings(fused_activation="relu")
    assert dict(fused.settings) == {"fused_activation": "relu"}
    assert fused.fused_activation == "relu"
    assert compute(fused) == [0]
    assert Settings() == {}


def test_a_kernel_names_a_family_that_its_kind_has():
    with pytest.raises(TypeError, match="settings of softmax are no Convolution"):
        operations.computes_by(Convolution, "softmax")


def layouts_of(model, *feeds):
    """Kind, role and shape of every parameter that a layout is said of, as ``canonical`` reads them."""
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model
    from aligner.parameters.canonical import canonical

    session = open_model(model, OpenOptions())
    graph = session.graph(dict(zip([spec.name for spec in session.signature.inputs], feeds, strict=True)))
    session.close()
    found = [canonical(graph, node, lambda name: graph.values[name].shape) for node in graph.nodes]
    return [
        (one, role, array)
        for one in found
        if one is not None and one.kind in LAYOUTS
        for role, array in one.parameters.items()
        if role in LAYOUTS[one.kind]
    ]


def holds(operation, role, array):
    """Every axis has the length that its name and the operand ask for."""
    settings, x = operation.settings, operation.data[0]
    channels = x.shape[-1 if not isinstance(settings, Windowed) or settings.channels == "last" else 1]
    axis = axis_of(operation.kind, role, "in")
    groups = getattr(settings, "groups", 1) if not isinstance(settings, TransposedConvolution) else 1
    return axis is None or role == "r" or array.shape[axis] * groups == channels


@requires_torch
@pytest.mark.parametrize("form", ["eager", "torchscript", "onnx"])
def test_parameters_are_in_the_canonical_layout(form, tmp_path):
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(4, 6, 3, groups=2, padding=1)
            self.up = nn.ConvTranspose2d(6, 5, 2)
            self.linear = nn.Linear(9, 7)
            self.matrix = nn.Parameter(torch.randn(7, 3))

        def forward(self, x):
            return torch.relu(self.linear(self.up(self.conv(x)))) @ self.matrix

    net, x = Net().eval(), torch.randn(1, 4, 8, 8)
    if form == "torchscript":
        torch.jit.save(torch.jit.trace(net, x), tmp_path / "net.pt")
        net = tmp_path / "net.pt"
    elif form == "onnx":
        pytest.importorskip("onnxruntime")
        torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=False)
        net = tmp_path / "net.onnx"
    found = layouts_of(net, x.numpy())
    assert {one.kind for one, _, _ in found} == {"conv", "conv_transpose", "matmul"}
    assert all(holds(*each) for each in found), [(one.kind, role, array.shape) for one, role, array in found]


@requires_onnx
def test_both_spellings_of_a_product_give_one_matrix():
    from onnx import TensorProto, helper, numpy_helper

    matrix = np.arange(12, dtype=np.float32).reshape(3, 4)  # [in, out]
    stored = [numpy_helper.from_array(matrix, "plain"), numpy_helper.from_array(matrix.T.copy(), "turned")]
    nodes = [
        helper.make_node("MatMul", ["x", "plain"], ["a"]),
        helper.make_node("Gemm", ["x", "turned"], ["b"], transB=1),
        helper.make_node("Gemm", ["x", "plain"], ["c"]),
    ]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3 if n == "x" else 4]) for n in "xabc"]
    model = helper.make_model(
        helper.make_graph(nodes, "products", ends[:1], ends[1:], stored), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    found = layouts_of(model, np.ones((2, 3), np.float32))
    assert len(found) == 3
    for one, role, array in found:
        assert (one.kind, role) == ("matmul", "kernel")
        assert np.array_equal(array, matrix.T)
        assert array.shape[axis_of("matmul", "kernel", "out")] == 4
