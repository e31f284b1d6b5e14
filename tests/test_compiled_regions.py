"""What torch.compile gets wrong is named at its operations: each backend here makes one mistake."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from marks import requires_compiler, requires_torch

import aligner

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

pytestmark = requires_torch

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.second = nn.Conv2d(8, 8, 3, 1, 1)
        self.norm = nn.LayerNorm(8)
        self.classes = nn.Linear(8, 5)

    def forward(self, image):
        x = torch.relu(self.first(image))
        y = F.gelu(self.second(x))
        upper, lower = (x - y).chunk(2, dim=1)
        x = torch.cat([upper * 2, lower], dim=1)
        return self.classes(self.norm(x.mean((2, 3))) + 1)


def network():
    torch.manual_seed(0)
    return Network().eval()


def rewriting(change):
    """A backend that changes nodes of the graph and runs it."""

    def backend(graph, _):
        for node in list(graph.graph.nodes):
            if node.op == "call_function":
                change(node)
        graph.recompile()
        return graph.forward

    return backend


def is_called(node, word):
    return getattr(node.target, "__name__", "") == word


def swapped(node):
    if node.target is operator.sub:
        node.args = node.args[::-1]


def hardened(node):
    if is_called(node, "gelu"):
        node.target, node.kwargs = F.hardswish, {}


def unscaled(node):
    if node.target is operator.mul:
        node.args = (node.args[0], 1)


def turned(node):
    if is_called(node, "cat"):
        node.args = (list(node.args[0])[::-1], *node.args[1:])


def shifted(node):
    if node.target is operator.add:
        node.args = (node.args[0], 2)


def normed(node):
    if is_called(node, "layer_norm"):
        node.args = (*node.args[:4], 0.5)


def fused(node):
    """Wrong only where a convolution and its activation are compiled together."""
    if is_called(node, "relu") and is_called(node.args[0], "conv2d") and len(node.args[0].users) == 1:
        node.target = F.hardswish


FAULTS = {
    swapped: ("sub", "sub"),
    hardened: ("gelu", "gelu"),
    unscaled: ("mul", "mul"),
    turned: ("cat", "cat"),
    shifted: ("add", "add"),
    normed: ("norm/layer_norm", "layer_norm of norm"),
    fused: ("relu", "conv2d of first, relu"),
}
"""What a backend does → the candidate's tensor, and the words for its operations."""


WAYS = [("whole", fault) for fault in FAULTS] + [("in place", fused), ("part", fused)]


@pytest.mark.parametrize(("way", "fault"), WAYS)
def test_the_operation_is_named(way, fault):
    found = aligner.compare(network(), compiled(rewriting(fault), way), IMAGE).comparison
    value, words = FAULTS[fault]
    assert found.verdict == "diverged"
    assert found.first_divergence.candidate.name.split(".")[-2].endswith(value)
    assert (found.causes[0].id, found.causes[0].evidence_class) == ("fusion-or-kernel", "proven")
    assert words in found.causes[0].evidence
    assert found.causes[0].node == found.first_divergence.candidate.node


def compiled(backend, way):
    torch._dynamo.reset()
    if way == "whole":
        return torch.compile(network(), backend=backend)
    inner = network()
    if way == "in place":
        inner.compile(backend=backend)
        return nn.Sequential(inner)
    return nn.Sequential(torch.compile(inner, backend=backend), nn.Identity())


def test_the_reference_may_be_the_compiled_one():
    found = aligner.compare(compiled(rewriting(swapped), "whole"), network(), IMAGE).comparison
    assert found.verdict == "diverged"
    assert "the reference's sub" in found.causes[0].evidence


def test_a_backend_that_scales_whatever_it_is_given_is_wrong_from_the_first_operation_on():
    def scaled(graph, _):
        return lambda *operands: tuple(result * 1.5 for result in graph(*operands))

    found = aligner.compare(network(), compiled(scaled, "whole"), IMAGE).comparison
    assert "conv2d of first" in found.causes[0].evidence
    assert found.first_divergence.candidate.name == "first/conv2d.0"


def test_a_backend_that_does_not_compile_parts_leaves_the_output_named():
    def refusing(graph, _):
        if len(graph.graph.nodes) < 12:
            raise RuntimeError("too small for me")
        return lambda *operands: tuple(result * 1.5 for result in graph(*operands))

    found = aligner.compare(network(), compiled(refusing, "whole"), IMAGE).comparison
    assert found.verdict == "diverged"
    assert found.causes[0].evidence_class == "suspected"


@pytest.mark.parametrize("way", ["whole", "in place", "part"])
def test_what_compiles_right_is_aligned(way):
    found = aligner.compare(network(), compiled("aot_eager", way), IMAGE).comparison
    assert found.verdict == "aligned"


@pytest.mark.slow
@requires_compiler
def test_a_bug_of_inductor_is_found():
    from torch._inductor import config

    with config.patch({"cpp.inject_relu_bug_TESTING_ONLY": "accuracy"}):
        found = aligner.compare(network(), compiled("inductor", "whole"), IMAGE).comparison
    assert found.verdict == "diverged"
    assert "relu" in found.causes[0].evidence


def test_vary_names_what_the_compiler_gets_wrong(monkeypatch):
    """The outputs of compiled code are what is held against the eager ones, and its node what is named."""
    compiler, faulty = torch.compile, rewriting(hardened)
    monkeypatch.setattr(torch, "compile", lambda m, backend=faulty, **more: compiler(m, backend=backend, **more))
    found = aligner.vary(network(), IMAGE, over="optimization").variations[0]
    assert (found.setting, found.outcome) == ("inductor", "diverged") and found.error > 1e-3
    assert found.causes[0].id == "fusion-or-kernel" and "gelu" in found.causes[0].evidence
