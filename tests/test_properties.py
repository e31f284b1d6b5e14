"""What must hold for any two models, on a sample; thousands by `python -m benchmarks.properties --seeds A:B`."""

from __future__ import annotations

import pytest

from tests.marks import requires_onnx

pytestmark = requires_onnx
SEEDS = range(2000, 2012)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rewritten_model_is_aligned(seed):
    from benchmarks.converters.running import once

    outcome = once(seed, faulty=False)
    assert not outcome.violations
    assert outcome.verdict == "aligned"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fault_that_shows_is_flagged_somewhere_and_its_culprits_suffice(seed):
    from benchmarks.converters.running import once

    outcome = once(seed, faulty=True)
    assert not outcome.violations
    assert outcome.verdict == "diverged"


@pytest.mark.parametrize("faulty", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_no_bound_of_a_kernel_is_as_wide_as_what_it_gives(seed, faulty):
    from benchmarks.properties.kernels import kernel, violations

    case = kernel(seed, faulty=faulty)
    assert case is None or violations(case) == []


@pytest.mark.parametrize("seed", SEEDS[1:5])
def test_a_proven_cause_alone_mends_the_outputs(seed):
    from benchmarks.properties.proofs import insufficient

    assert not insufficient(seed)


def test_an_aligned_report_in_which_an_error_comes_from_nowhere_is_a_violation():
    from benchmarks.converters.properties import unfounded

    pair = {"candidate": {"name": "y"}, "verdict": "inherited"}
    assert unfounded({"verdict": "aligned", "pairs": [pair]})
    assert not unfounded({"verdict": "inconclusive", "pairs": [pair]})
    assert not unfounded({"verdict": "aligned", "pairs": [pair, {**pair, "verdict": "nondeterministic"}]})
