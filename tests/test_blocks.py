"""Sums in blocks, and the thread that helps with large tensors."""

from __future__ import annotations

import itertools
import os
import signal

import numpy as np
import pytest

from aligner.diff.difference import difference
from aligner.records.blocks import ROW, dot, in_parts, total


@pytest.mark.parametrize("size", [1, ROW - 1, ROW, 3 * ROW + 5])
def test_sums_are_those_of_float64(size):
    left, right = np.random.default_rng(size).standard_normal((2, size)).astype(np.float32)
    assert dot(left, right) == pytest.approx(float(left.astype(float) @ right.astype(float)), abs=1e-4)
    assert total(left) == pytest.approx(float(left.astype(float).sum()), abs=1e-4)


@pytest.mark.parametrize("size", [10, (1 << 20) + 3])
def test_parts_follow_each_other_and_leave_nothing_out(size):
    parts = in_parts(size, lambda begin, end: (begin, end))
    assert parts[0][0] == 0 and parts[-1][1] == size
    assert all(one[1] == other[0] for one, other in itertools.pairwise(parts))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_does_not_wait_for_its_parents_thread():
    large = np.ones((1 << 20) + 1, np.float32)
    difference(large, large)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # ends a child that hangs
        os._exit(0 if difference(large, large).errors.max_abs == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
