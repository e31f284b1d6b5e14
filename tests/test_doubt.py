"""Errors as small as rounding: what compares exactly decides."""

from __future__ import annotations

import gc
import io
import weakref

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner

pytestmark = [requires_torch, requires_onnx]


def exported(module, x):
    import onnx
    import torch

    file = io.BytesIO()
    torch.onnx.export(module, (torch.from_numpy(x),), file, dynamo=False, opset_version=17)
    return onnx.load_from_string(file.getvalue())


@pytest.mark.parametrize(("epsilon", "verdict"), [(1e-5, "aligned"), (1.4e-5, "diverged")])
def test_an_epsilon_off_by_less_than_rounding_shows(epsilon, verdict):
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(24, 24), torch.nn.LayerNorm(24), torch.nn.Linear(24, 5)).eval()
    x = (np.random.default_rng(0).normal(size=(4, 24)) * 1.7).astype(np.float32)
    file = exported(module, x)
    for node in file.graph.node:
        for attribute in node.attribute:
            if attribute.name == "epsilon":
                attribute.f = epsilon
    result = aligner.compare(module, file, [x], atol=0, rtol=0)
    assert result.verdict == verdict
    if verdict == "diverged":
        assert result.first_divergence.candidate.op == "LayerNormalization"
        assert "epsilon" in (result.first_divergence.note or "epsilon")
        assert result.causes[0].id == "norm-epsilon"


def test_weights_that_this_input_does_not_reach_are_told():
    import torch
    from onnx import numpy_helper

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    with torch.no_grad():
        module[0].bias[2] = -50.0  # a unit that is never on
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    file = exported(module, x)
    assert not any("without effect" in note for note in aligner.compare(module, file, [x]).comparison.notes)
    weight = next(tensor for tensor in file.graph.initializer if tensor.name == "2.weight")
    array = numpy_helper.to_array(weight).copy()
    array[:, 2] *= -1
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))
    result = aligner.compare(module, file, [x])
    assert result.verdict == "aligned"
    told = [note for note in result.comparison.notes if "without effect" in note]
    assert len(told) == 1 and "kernel of /2/Gemm" in told[0]


def test_what_was_read_of_weights_goes_without_the_collector(monkeypatch):
    """A region that holds itself would keep every weight it has read until the collector comes, seldom on purpose."""
    import torch

    from aligner.regions.subgraph import Subgraph

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    file, made, plain = exported(module, x), [], Subgraph.__init__

    def noted(self, *given):
        plain(self, *given)
        made.append(weakref.ref(self))

    monkeypatch.setattr(Subgraph, "__init__", noted)
    monkeypatch.setattr(gc, "collect", lambda: 0)
    gc.disable()
    try:
        aligner.compare(module, file, [x])
        assert made and not any(one() is not None for one in made)
    finally:
        gc.enable()


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_an_approximation_too_small_to_matter_is_told_by_its_setting(approximate):
    import torch

    module, other = torch.nn.GELU(), torch.nn.GELU(approximate=approximate)
    x = (np.random.default_rng(0).normal(size=(4, 24)) * 0.1).astype(np.float32)
    result = aligner.compare(module, other, [x])
    assert result.verdict == ("aligned" if approximate == "none" else "diverged")
    if approximate == "tanh":
        assert result.causes[0].id == "activation-variant"
