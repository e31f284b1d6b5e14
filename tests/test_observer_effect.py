"""A candidate that is right only while it is watched."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_torch


@requires_torch
@pytest.mark.parametrize("wrong", [False, True])
def test_a_kernel_that_is_wrong_only_unobserved_is_a_verdict(monkeypatch, wrong):
    import torch

    import aligner
    from aligner.adapters.torchscript_adapter.adapter import ScriptSession

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x = torch.randn(2, 4)
    plain = ScriptSession.predict

    def fused(self, feeds):
        from dataclasses import replace

        outputs = plain(self, feeds)
        return tuple(replace(t, array=np.asarray(t.array) * 1.5) for t in outputs) if wrong else outputs

    monkeypatch.setattr(ScriptSession, "predict", fused)
    result = aligner.compare(model, torch.jit.trace(model, x), {"input": x.numpy()})
    if not wrong:
        assert result.verdict == "aligned"
        return
    assert result.verdict == "diverged"
    assert [cause.id for cause in result.causes] == ["fusion-or-kernel"]
    assert result.first_divergence is result.comparison.outputs[0]
    assert "when not" in result.first_divergence.note
