"""Large models are compared in one sweep; what it says is what separate passes over kept tensors say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner
from aligner.execution.pool import TensorPool
from aligner.records.alignment import Sketch
from aligner.records.tensor import CapturedTensor

pytestmark = [requires_torch, requires_onnx]

TIGHT = 1 << 14
"""Bytes: too few for the tensors of any of these models."""


def forms(tmp_path, *, fault=False):
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True),
        nn.Conv2d(8, 4, 3, stride=2), nn.Flatten(), nn.Linear(4 * 15 * 15, 5), nn.Softmax(dim=1),
    ).eval()  # fmt: skip
    image = torch.rand(1, 3, 32, 32)
    script = tmp_path / "model.pt"
    torch.jit.save(torch.jit.trace(model, image), script)
    if fault:
        model[2].weight.data.mul_(1.02)
    exported = tmp_path / "model.onnx"
    torch.onnx.export(model, (image,), str(exported), dynamo=False)
    if fault:
        model[2].weight.data.div_(1.02)
    return {"eager": model, "script": script, "onnx": exported}, image.numpy()


def said(comparison):
    """What no order of runs may change."""
    first = comparison.first_divergence
    return (
        comparison.verdict,
        first.candidate.name if first is not None else None,
        [(pair.reference.name, pair.candidate.name, pair.verdict, pair.rule) for pair in comparison.pairs],
        [cause.id for cause in comparison.causes],
        comparison.coverage,
        [output.candidate.name for output in comparison.outputs],
    )


@pytest.mark.parametrize("fault", [False, True])
@pytest.mark.parametrize(("left", "right"), [("script", "onnx"), ("eager", "onnx"), ("onnx", "eager")])
def test_the_sweep_says_what_separate_passes_say(tmp_path, left, right, fault):
    models, image = forms(tmp_path, fault=fault)
    kept = aligner.compare(models[left], models[right], image).comparison
    swept = aligner.compare(models[left], models[right], image, memory_limit=TIGHT).comparison
    assert "lockstep" in swept.timing and "lockstep" not in kept.timing
    assert said(swept) == said(kept)
    assert all(pair.local is not None for pair in swept.pairs if pair.candidate.kind == "conv")


def test_nothing_but_the_sweep_runs_where_all_is_well(tmp_path, monkeypatch):
    from aligner.adapters.onnx_adapter.session import OnnxSession

    runs = []
    plain = OnnxSession.run
    monkeypatch.setattr(OnnxSession, "run", lambda self, *given: (runs.append(len(given)), plain(self, *given))[1])
    models, image = forms(tmp_path)
    aligner.compare(models["script"], models["onnx"], image, memory_limit=TIGHT)
    assert len(runs) == 2, "the candidate on its own tensors, and on the reference's"


@pytest.mark.parametrize("limit", [None, TIGHT])
def test_the_quickest_look_at_a_large_model_is_only_observed_and_says_so(tmp_path, monkeypatch, limit):
    from aligner.adapters.onnx_adapter.session import OnnxSession

    asked = []
    plain = OnnxSession.predict
    monkeypatch.setattr(OnnxSession, "predict", lambda self, feeds: (asked.append(1), plain(self, feeds))[1])
    models, image = forms(tmp_path)
    result = aligner.compare(models["script"], models["onnx"], image, memory_limit=limit, local="never")
    told = [note for note in result.comparison.notes if "when nobody looks" in note]
    assert result.verdict == "aligned"
    assert (len(told), len(asked)) == ((0, 1) if limit is None else (1, 0))


def test_a_negative_limit_is_refused(tmp_path):
    from aligner.errors import ComparisonError

    models, image = forms(tmp_path)
    with pytest.raises(ComparisonError, match="memory_limit"):
        aligner.compare(models["script"], models["onnx"], image, memory_limit=-5)


def test_runs_that_draw_random_numbers_take_turns(tmp_path):
    import torch

    class Noisy(torch.nn.Module):
        def forward(self, x):
            for _ in range(8):
                x = torch.relu(x + torch.randn_like(x))
            return x

    path = tmp_path / "noisy.pt"
    torch.jit.save(torch.jit.trace(Noisy().eval(), torch.rand(1, 3, 16, 16), check_trace=False), path)
    image = np.random.default_rng(0).random((1, 3, 16, 16), dtype=np.float32)
    kept = aligner.compare(path, path, image).comparison
    swept = aligner.compare(path, path, image, memory_limit=TIGHT).comparison
    assert "lockstep" in swept.timing
    assert said(swept) == said(kept)
    assert all(pair.accumulated.max_abs == 0 for pair in swept.pairs)


def tensors(count, size):
    for number in range(count):
        array = np.full(size, number, dtype=np.float32)
        array.flags.writeable = False
        yield CapturedTensor(f"t{number}", array, "float32")


def test_what_outgrows_the_budget_waits_on_disk():
    uses = {f"t{number}": 1 for number in range(8)}
    pool = TensorPool(tensors(8, 1000), uses, budget=3 * 4000)
    last = pool.get("t7")
    assert last is not None and last.array[0] == 7
    assert pool.largest <= 3 * 4000 and pool.spilled == 5 * 4000
    for number in range(8):
        held = pool.get(f"t{number}")
        assert held is not None and (held.array == number).all() and not held.array.flags.writeable
        pool.release(f"t{number}")
    pool.close()


def test_a_full_disk_is_told(monkeypatch):
    from aligner.errors import AlignerError
    from aligner.execution import spill

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill.tempfile, "TemporaryFile", full)
    pool = TensorPool(tensors(2, 1000), {"t0": 1, "t1": 1}, budget=100)
    with pytest.raises(AlignerError, match="scratch"):
        pool.get("t1")


def test_a_run_pauses_around_huge_tensors(monkeypatch):
    from aligner.execution import lockstep
    from aligner.execution.profile import Profile

    monkeypatch.setattr(lockstep, "HUGE", 1000)
    sizes = {"x": 1, "a": 2, "b": 500, "c": 3, "d": 4, "e": 400}
    sketches = {name: Sketch((size,), "float32", 0, 0, 0, 0) for name, size in sizes.items()}
    nodes = [SimpleNamespace(outputs=(name,)) for name in sizes if name != "x"]
    side = SimpleNamespace(
        profile=Profile(sketches, None, 0),
        graph=SimpleNamespace(nodes=nodes, inputs=("x",)),
    )
    everywhere = lockstep.Pauses(side)
    assert not everywhere.at_first
    assert [name for name in sizes if everywhere.after(name)] == ["a", "b", "d", "e"]
    some = lockstep.Pauses(side, {"c", "e"})
    assert some.at_first  # what stands before the first one shown is huge
    assert [name for name in sizes if some.after(name)] == ["c", "e"]
