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
