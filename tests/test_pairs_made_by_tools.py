"""The bench of pairs that other people's tools make: a clean one and one with a fault, judged by how they were made."""

from __future__ import annotations

import pytest
from marks import requires_onnx, requires_torch

pytestmark = [requires_onnx, requires_torch, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("seed", [2, 3])
def test_a_pair_and_the_same_with_a_fault(seed, tmp_path):
    from benchmarks.converters.blind.drawing import draw
    from benchmarks.converters.blind.judging import judge
    from benchmarks.converters.blind.sequences import SEQUENCES

    networks = {"causal": SEQUENCES["causal"]}
    cases = [*draw(seed, tmp_path, networks, tools=("passes", "renamed"))]
    assert [case.fault is not None for case in cases] == [False, True]
    outcomes = [judge(case) for case in cases]
    assert [outcome.verdict for outcome in outcomes] == ["aligned", "diverged"]
    assert outcomes[1].exact, outcomes[1]


def test_the_last_state_of_a_stack_is_not_that_of_one_layer(tmp_path):
    """ONNX has a node for each layer; PyTorch gives the states of all of them in one tensor."""
    import torch

    import aligner
    from benchmarks.converters.blind.exporting import quiet

    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = torch.nn.GRU(3, 4, num_layers=2, batch_first=True)

        def forward(self, x):
            return self.gru(x)[0]

    net, x = Stack().eval(), torch.randn(2, 5, 3)
    with quiet():
        torch.onnx.export(net, (x,), str(tmp_path / "gru.onnx"), dynamo=False)
    assert aligner.compare(net, tmp_path / "gru.onnx", [x.numpy()]).verdict == "aligned"


def _activated(activation, target, *, channels=3, level="EXTENDED", **settings):
    """Two convolutions with an activation between them, and what onnxruntime makes of it."""
    import numpy as np
    import onnxruntime
    from onnx_models import model, node, value, weights

    rng = np.random.default_rng(0)
    stored = weights(
        **{
            name: 0.3 * rng.standard_normal((channels, size, 3, 3)).astype("f4")
            for name, size in zip("uv", (3, channels), strict=True)
        }
    )
    nodes = [
        node("Conv", ["x", "u"], ["c"], "conv", pads=[1, 1, 1, 1]),
        node(activation, ["c"], ["a"], "act", **settings),
        node("Conv", ["a", "v"], ["y"], "end"),
    ]
    made = model(nodes, [value("x", 1, [1, 3, 8, 8])], [value("y", 1, None)], stored).SerializeToString()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_ENABLE_{level}")
    options.optimized_model_filepath, options.log_severity_level = str(target), 4
    onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])
    plain = target.with_name(f"plain-{target.name}")
    plain.write_bytes(made)
    return plain, target


@pytest.mark.parametrize("channels", [16, 20])  # whole blocks, and some that are filled up
@pytest.mark.parametrize(
    ("lost", "cause"),
    [
        ({"padding": 0}, "padding-asymmetric"),
        ({"stride": 2}, "conv-stride-dilation-groups"),
        ({"bias": False}, "weights-bias-missing"),
        ({}, "weights-changed"),
    ],
)
def test_a_convolution_on_blocked_channels_that_lost_something(lost, cause, channels, tmp_path):
    import onnxruntime
    import torch
    from torch import nn

    import aligner
    from benchmarks.converters.blind.exporting import quiet

    def made(**settings):
        torch.manual_seed(0)
        first, last = nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, channels, 3, padding=1)
        middle = nn.Conv2d(channels, channels, 3, **{"padding": 1} | settings)
        pool, flat = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        return nn.Sequential(first, nn.ReLU(), middle, nn.ReLU(), last, pool, flat, nn.Linear(channels, 4)).eval()

    net, other, x = made(), made(**lost), torch.randn(1, 3, 10, 10)
    other.load_state_dict(net.state_dict(), strict=False)
    if not lost:
        other[2].weight.data *= 1.05
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "blocked.onnx"), 4
    with quiet():
        torch.onnx.export(other, (x,), str(tmp_path / "plain.onnx"), dynamo=False)
        onnxruntime.InferenceSession(tmp_path / "plain.onnx", options, providers=["CPUExecutionProvider"])
    first = aligner.compare(net, tmp_path / "blocked.onnx", [x.numpy()]).causes[0]
    assert (first.id, first.evidence_class) == (cause, "proven"), first
    assert "Relu" in first.node, first


def test_another_pool_among_blocked_channels_whether_it_counts_the_border_or_not(tmp_path):
    import aligner

    made = {"channels": 16, "level": "ALL", "kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    plain, blocked = _activated("MaxPool", tmp_path / "max.onnx", **made)
    assert aligner.compare(plain, blocked).verdict == "aligned"
    for counted in (0, 1):
        _, mean = _activated("AveragePool", tmp_path / "mean.onnx", count_include_pad=counted, **made)
        first = aligner.compare(plain, mean).causes[0]
        assert (first.id, first.evidence_class) == ("reduce-axis-or-bias", "proven"), first
        assert ("border counted" in first.evidence) == bool(counted), first.evidence


def test_activations_with_numbers_fused_in_by_onnxruntime(tmp_path):
    import aligner

    plain, fused = _activated("LeakyRelu", tmp_path / "leaky.onnx", alpha=0.01)
    _, hard = _activated("HardSigmoid", tmp_path / "hard.onnx", alpha=0.25, beta=0.5)
    _, steep = _activated("LeakyRelu", tmp_path / "steep.onnx", alpha=0.2)
    assert aligner.compare(plain, fused).verdict == "aligned"
    for other in (hard, steep):
        first, *_ = aligner.compare(plain, other).causes
        assert (first.id, first.evidence_class, first.node) == ("activation-variant", "proven", "conv"), first


def test_a_write_into_a_view_answers_no_whole_tensor(tmp_path):
    """What TorchScript writes in place is a part; what ONNX's ScatterND gives is all of it."""
    import torch

    import aligner
    from benchmarks.converters.blind.exporting import quiet

    class Written(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense, self.column = torch.nn.Linear(6, 8), torch.nn.Parameter(torch.randn(5))

        def forward(self, x):
            h = self.dense(x).clone()
            h[:, :, 0] = self.column
            return h.tanh()

    net, x = Written().eval(), torch.randn(2, 5, 6)
    with quiet():
        torch.onnx.export(net, (x,), str(tmp_path / "written.onnx"), dynamo=False)
        torch.jit.trace(net, (x,)).save(tmp_path / "written.pt")
    result = aligner.compare(tmp_path / "written.onnx", tmp_path / "written.pt", [x.numpy()])
    assert result.verdict == "aligned" and not [pair for pair in result.pairs if pair.verdict == "incomparable"]
