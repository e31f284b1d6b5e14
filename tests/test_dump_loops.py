"""Tensors of a loop's body in a dump: each turn recorded, or one of them, nobody knows which."""

from __future__ import annotations

import numpy as np
import pytest
from marks import requires_onnx, requires_torch

import aligner

pytestmark = requires_torch


def network(step):
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head, self.step = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3), step

        def forward(self, x):
            for _ in range(3):
                x = torch.tanh(self.inner(x)) * self.step + x
            return self.head(x)

    torch.manual_seed(0)
    return torch.jit.script(Network())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    path = tmp_path_factory.mktemp("loops")
    x = np.random.default_rng(0).random((2, 4), dtype=np.float32)
    np.save(path / "x.npy", x)
    for name, step in (("right", 0.5), ("wrong", 0.6)):
        network(step).save(str(path / f"{name}.pt"))
        session = open_model(path / f"{name}.pt", OpenOptions())
        (spec,) = session.signature.inputs
        turns = [(tensor.value, tensor.occurrence, np.array(tensor.array)) for tensor in session.run({spec.name: x})]
        session.close()
        np.savez(path / f"{name} all.npz", **{f"{n}@{turn}" if turn else n: array for n, turn, array in turns})
        np.savez(path / f"{name} last.npz", **{n: array for n, _, array in turns})
    return path


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("kept", ["all", "last"])
def test_turns_of_a_loop(folder, kept, told):
    """What was overwritten by later turns is no evidence; what is behind the loop is."""
    for name in ("right", "wrong"):
        options = {"dump_of": folder / f"{name}.pt"} if told else {}
        result = aligner.compare(folder / "right.pt", folder / f"{name} {kept}.npz", folder / "x.npy", **options)
        assert result.verdict == ("aligned" if name == "right" else "diverged"), result.comparison.reason
        said = [note for note in result.comparison.candidate.notes if "in a loop" in note]
        assert bool(said) == (kept == "last")


@requires_onnx
def test_what_the_model_does_not_show_is_left_out(tmp_path):
    """ONNX Runtime's own dumps hold a body's tensors, which a session cannot observe."""
    from test_causes_opaque import loop

    x = np.random.default_rng(0).random((8, 2), dtype=np.float32)
    model = loop(tmp_path / "loop.onnx")
    np.savez(tmp_path / "run.npz", x=x, next=5 * x, last=5 * x, y=5 * x)
    result = aligner.compare(model, tmp_path / "run.npz", dump_of=model)
    assert result.verdict == "aligned"
    notes = " ".join(result.comparison.candidate.notes)
    assert "does not show: next" in notes
    assert "gives every recorded tensor" in notes


def test_live_loops_are_compared_turn_by_turn(folder):
    result = aligner.compare(folder / "right.pt", folder / "wrong.pt", folder / "x.npy")
    assert result.verdict == "diverged" and result.introduced
