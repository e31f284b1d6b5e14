"""A loop that one side runs and the other has unrolled: no step of it answers the whole."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch")

import aligner  # noqa: E402


class Steps(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = torch.nn.GRUCell(3, 5)
        self.head = torch.nn.Linear(5, 2)

    def forward(self, x):
        state = torch.zeros(x.shape[0], 5)
        outputs = []
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
            outputs.append(self.head(state))
        return torch.stack(outputs, 1)


@pytest.fixture
def steps():
    torch.manual_seed(0)
    return Steps().eval()


X = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(1)).numpy()


def scripted(module, path):
    torch.jit.script(module).save(path)
    return path


def changed(module):
    other = copy.deepcopy(module)
    with torch.no_grad():
        other.cell.weight_hh[3] *= 1.2
    return other


def test_a_clean_loop_against_the_unrolled_one(steps, tmp_path):
    result = aligner.compare(steps, scripted(steps, tmp_path / "loop.pt"), X)
    assert result.verdict == "aligned"
    assert all(pair.verdict == "aligned" for pair in result.pairs)


def test_other_weights_in_a_loop(steps, tmp_path):
    result = aligner.compare(steps, scripted(changed(steps), tmp_path / "loop.pt"), X)
    assert result.verdict == "diverged"


def test_both_in_loops(steps, tmp_path):
    right, wrong = scripted(steps, tmp_path / "right.pt"), scripted(changed(steps), tmp_path / "wrong.pt")
    result = aligner.compare(right, wrong, X)
    assert result.first_divergence.candidate.op == "aten::gru_cell"
    assert result.causes[0].id.startswith("weights-")


class Rounds(torch.nn.Module):
    """A recurrence whose count of steps stands in the program."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(5, 5)

    def forward(self, x):
        state = torch.zeros(2, 5)
        for step in range(4):
            state = torch.tanh(self.inner(x[:, step] + state))
        return torch.sigmoid(state)


@pytest.mark.parametrize("turned", [False, True])
def test_a_loop_of_a_fixed_count_is_compared_step_by_step(turned, tmp_path):
    torch.manual_seed(0)
    looped = Rounds().eval()
    traced = torch.jit.trace(Other(looped), torch.zeros(2, 4, 5))
    sides = [scripted(looped, tmp_path / "loop.pt"), traced]
    result = aligner.compare(*(reversed(sides) if turned else sides), torch.randn(2, 4, 5).numpy())
    assert result.verdict == "diverged"
    first = result.first_divergence
    steps = [pair for pair in result.pairs if pair.reference.op == "aten::linear"]
    assert len(steps) == 4
    assert first.reference.op == first.candidate.op == "aten::linear"
    assert [pair.verdict for pair in steps] == ["aligned", "aligned", "introduced", "inherited"]


class Other(torch.nn.Module):
    """The same steps, one of which has lost its bias."""

    def __init__(self, looped: Rounds):
        super().__init__()
        self.looped = looped

    def forward(self, x):
        state, inner = torch.zeros(2, 5), self.looped.inner
        for step in range(4):
            bias = None if step == 2 else inner.bias
            state = torch.tanh(torch.nn.functional.linear(x[:, step] + state, inner.weight, bias))
        return torch.sigmoid(state)
