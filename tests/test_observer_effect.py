"""A candidate that is right only while it is watched."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx, requires_torch


@requires_torch
@pytest.mark.parametrize("wrong", [False, True])
def test_a_kernel_that_is_wrong_only_unobserved_is_a_verdict(monkeypatch, wrong):
    import torch

    import aligner
    from aligner.adapters.torchscript_adapter.session import ScriptSession

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


@requires_torch
@requires_onnx
@pytest.mark.parametrize("since", ["extended", "all"])
def test_the_optimisation_level_that_brings_the_wrong_kernel_is_named(monkeypatch, tmp_path, since):
    import io

    import onnx
    import torch

    import aligner
    from aligner.adapters.onnx_adapter.engine import Engine

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).eval()
    x = torch.randn(2, 4)
    file = io.BytesIO()
    torch.onnx.export(model, (x,), file, dynamo=False)
    onnx.save(onnx.load_from_string(file.getvalue()), tmp_path / "model.onnx")
    levels = ("none", "basic", "extended", "all")
    plain_session, plain_run = Engine.session, Engine.run
    wrong = set()

    def session(self, model, stubs=None, *, level=None):
        made = plain_session(self, model, stubs, level=level)
        if stubs is None and level is None and levels.index(self.level) >= levels.index(since):
            wrong.add(made)
        return made

    def run(self, session, outputs, feeds):
        import onnxruntime

        found = plain_run(self, session, outputs, feeds)
        return [onnxruntime.OrtValue.ortvalue_from_numpy(v.numpy() * 2) for v in found] if session in wrong else found

    monkeypatch.setattr(Engine, "session", session)
    monkeypatch.setattr(Engine, "run", run)
    result = aligner.compare(model, tmp_path / "model.onnx", [x.numpy()])
    assert result.verdict == "diverged"
    assert [cause.id for cause in result.causes] == ["fusion-or-kernel"]
    assert f"wrong from graph optimisation level {since!r} on" in result.causes[0].evidence
