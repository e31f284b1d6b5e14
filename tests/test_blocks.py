"""Sums in blocks."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from aligner.numerics.blocks import ROW, Workspace, dot, norm, single, total, weighted
from aligner.operations.kernels.products import matrix_product


@pytest.mark.parametrize("size", [1, ROW - 1, ROW, 3 * ROW + 5])
def test_sums_are_those_of_float64(size):
    left, right = np.random.default_rng(size).standard_normal((2, size)).astype(np.float32)
    assert dot(left, right) == pytest.approx(float(left.astype(float) @ right.astype(float)), abs=1e-4)
    assert total(left) == pytest.approx(float(left.astype(float).sum()), abs=1e-4)


@pytest.mark.parametrize("shape", [(0,), (3,), (5, ROW), (7, 3, 1000)])
def test_a_norm_is_that_of_the_elements_in_any_order_in_memory(shape):
    array = np.random.default_rng(3).normal(size=shape)
    for one in (array, array.T):
        assert norm(one) == pytest.approx(float(np.linalg.norm(array.reshape(-1))), rel=1e-14)
    assert math.isnan(norm(np.array([1.0, np.nan]))) and norm(np.array([1.0, -np.inf])) == math.inf


def test_weights_go_by_the_place_in_a_row_and_by_the_row():
    drawn = np.random.default_rng(0)
    array, weights, rows = (drawn.standard_normal(size) for size in (10, 4, 3))
    by_hand = float((array * np.tile(weights, 3)[:10] * np.repeat(rows, 4)[:10]).sum())
    assert weighted(array, weights, rows) == pytest.approx(by_hand)
    assert weighted(array, weights) == pytest.approx(float((array * np.tile(weights, 3)[:10]).sum()))


def test_each_thread_has_working_space_of_its_own():
    space = Workspace()
    mine = space.buffer("sums", 4, np.float32)
    theirs = []
    thread = threading.Thread(target=lambda: theirs.append(space.buffer("sums", 4, np.float32)))
    thread.start()
    thread.join()
    assert space.buffer("sums", 3, np.float32).base is mine.base and not np.shares_memory(mine, theirs[0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [100, 3 * ROW + 5])
def test_a_mask_of_the_lowest_numbers_is_summed_without_a_word(size):
    masked = np.full(size, np.finfo(np.float32).min)
    assert total(masked) == pytest.approx(float(masked.astype(float).sum()))
    assert dot(masked, masked) == np.inf


def test_half_precision_becomes_single_precision_exactly():
    half = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    found, finite = single(half, np.empty(half.size, np.int32)), np.isfinite(half)
    assert np.array_equal(found[finite].view(np.int32), half[finite].astype(np.float32).view(np.int32))
    assert (np.abs(found[~finite]) > np.finfo(np.float16).max).all()


@pytest.mark.parametrize("lead", [(), (1, 2)])
@pytest.mark.parametrize(
    ("rows", "inner", "columns"), [(32, 32, 1000), (64, 64, 130), (200, 200, 50), (5, 0, 3), (0, 3, 5), (1, 70, 9000)]
)
def test_a_product_in_pieces_is_the_product(lead, rows, inner, columns):
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((*lead, rows, inner)), rng.standard_normal((inner, columns))
    for one, other in ((left, right), (left.astype(np.float32), right.astype(np.float32)), (left, right[:, 0])):
        found = matrix_product(one, other)
        assert found.dtype == one.dtype and found.shape == (one @ other).shape
        np.testing.assert_allclose(found, one @ other, rtol=1e-5, atol=1e-4)
