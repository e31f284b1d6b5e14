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
