from __future__ import annotations

import math
from dataclasses import astuple, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aligner.diff.difference import DifferenceAccumulator, difference
from aligner.diff.statistics import StatisticsAccumulator, statistics
from aligner.execution.profile import sketch
from aligner.numerics.blocks import BLOCK
from aligner.records.axis_order import to_candidate, to_reference
from aligner.records.comparison import Errors
from aligner.records.tensor import CapturedTensor


def test_every_number_against_numpy():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(3, 4, 5)).astype(np.float32)
    candidate = reference + rng.normal(scale=1e-3, size=reference.shape).astype(np.float32)
    errors = difference(reference, candidate).errors
    delta = candidate.astype(np.float64) - reference.astype(np.float64)
    assert errors.max_abs == np.abs(delta).max()
    assert errors.mean_abs == pytest.approx(np.abs(delta).mean())
    assert errors.sum_abs == pytest.approx(np.abs(delta).sum())
    assert errors.rmse == pytest.approx(math.sqrt((delta**2).mean()))
    assert errors.max_rel == pytest.approx((np.abs(delta) / np.abs(reference.astype(np.float64))).max())
    assert errors.worst_index == np.unravel_index(np.abs(delta).argmax(), delta.shape)
    flat = reference.astype(np.float64).ravel(), candidate.astype(np.float64).ravel()
    assert errors.cosine == pytest.approx(flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1]))
    assert errors.beyond == (~np.isclose(candidate, reference, atol=1e-5, rtol=1e-5)).mean()
    assert None not in astuple(errors), "diff/errors.py computes every statistic"


def test_every_statistic_has_a_label():
    assert {one.name for one in fields(Errors) if "label" not in one.metadata} == {"worst_index"}


def test_a_wrong_scale_has_cosine_one_and_is_not_equal():
    x = np.linspace(1, 2, 50, dtype=np.float32)
    errors = difference(x, 2 * x).errors
    assert errors.cosine == pytest.approx(1.0)
    assert errors.beyond == 1.0


def test_nonfinite_positions_are_compared_and_never_turned_into_numbers():
    reference = np.array([1.0, np.nan, np.inf, -np.inf, 2.0], dtype=np.float32)
    same = difference(reference, reference.copy())
    assert same.mismatched == 0 and same.errors.max_abs == 0 and same.errors.beyond == 0
    moved = difference(reference, np.array([1.0, 0.0, np.inf, np.inf, 2.5], dtype=np.float32))
    assert moved.mismatched == 2
    assert moved.errors.max_abs == 0.5


def test_small_integers_do_not_wrap():
    assert difference(np.array([250], np.uint8), np.array([5], np.uint8)).errors.max_abs == 245


def test_booleans_strings_and_complex_numbers_compare():
    assert difference(np.array([True, False]), np.array([True, True])).errors.max_abs == 1
    assert difference(np.array(["a", "b"], object), np.array(["a", "c"], object)).unequal == 1
    assert difference(np.array([1 + 2j]), np.array([1 + 3j])).errors.max_abs == 1


def test_empty_tensors_are_equal():
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))).errors.max_abs == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="differ"):
        difference(np.zeros(3), np.zeros(4))


@given(st.integers(1, 400), st.integers(1, 64))
@settings(deadline=None, max_examples=30)
def test_chunks_do_not_change_the_answer(size, step):
    rng = np.random.default_rng(size)
    left, right = rng.normal(size=(2, size))
    whole = difference(left, right)
    parts = DifferenceAccumulator((size,), 1e-5, 1e-5)
    for start in range(0, size, step):
        parts.update(left[start : start + step], right[start : start + step])
    pieces = parts.result()
    assert pieces.errors.max_abs == whole.errors.max_abs
    assert pieces.errors.worst_index == whole.errors.worst_index
    assert pieces.errors.rmse == pytest.approx(whole.errors.rmse)


@pytest.mark.parametrize("noise", [0.0, 1e-7, 1e-3, 1.0, 1e-20])
@pytest.mark.parametrize("kind", ["plain", "zeros", "negated", "nan", "infinite", "masked", "huge", "tiny"])
def test_what_is_known_of_the_reference_does_not_change_the_answer(kind, noise):
    rng = np.random.default_rng(0)
    left = rng.normal(size=(3, 700)).astype(np.float32)
    left[rng.random(left.shape) < 0.3] = 0
    right = left + rng.normal(size=left.shape).astype(np.float32) * np.float32(noise)
    right = {"zeros": 0 * right, "negated": -right, "huge": right * np.float32(1e30)}.get(kind, right)
    left[1, 5], right[2, 7] = {"masked": (-1e9, 1), "tiny": (1e-30, -1e-30)}.get(kind, (left[1, 5], right[2, 7]))
    right[0, 3] = {"nan": np.nan, "infinite": np.inf}.get(kind, right[0, 3])
    plain = difference(left, right)
    known = difference(left, right, known=sketch(CapturedTensor("x", left, "float32")))
    assert known.errors.worst_index == plain.errors.worst_index
    for one, other in zip(_numbers(known), _numbers(plain), strict=True):
        assert one is other is None or one == pytest.approx(other, rel=1e-6, nan_ok=True)


def _numbers(one):
    errors = one.errors
    return (
        one.scale, one.peak, one.size, one.mismatched, one.unequal, errors.max_abs, errors.mean_abs, errors.rmse,
        errors.max_rel, errors.cosine, errors.beyond,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_tiny_difference_is_seen_beside_what_is_not_finite(dtype):
    errors = difference(np.array([np.nan, 1e-20], dtype), np.array([np.nan, 3e-20], dtype))
    assert errors.unequal == 1 and errors.errors.max_rel == pytest.approx(2.0)
    assert errors.errors.max_abs == pytest.approx(2e-20)


@pytest.mark.parametrize("scale", [1e-9, 1.0])
def test_the_largest_relative_error_is_found_wherever_it_is(scale):
    rng = np.random.default_rng(1)
    left = rng.normal(size=5 * BLOCK // 2).astype(np.float32)
    right = left + (rng.normal(size=left.size) * scale).astype(np.float32)
    by_hand = np.max(np.abs(right - left)[left != 0] / np.abs(left)[left != 0])
    assert difference(left, right).errors.max_rel == pytest.approx(float(by_hand), rel=1e-6)


def test_views_are_compared_in_the_references_order():
    x = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4)
    candidate = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    candidate[0, 1, 2, 1] += 1
    back = to_reference(candidate, (0, 2, 3, 1), x.shape)
    assert difference(x, back).errors.worst_index == (0, 1, 1, 2)


@given(st.permutations(range(4)))
def test_axis_order_there_and_back(axes):
    x = np.arange(120).reshape(2, 3, 4, 5)
    there = to_candidate(x, tuple(axes), tuple(x.shape[a] for a in axes))
    assert np.array_equal(to_reference(there, tuple(axes), x.shape), x)


def test_axes_of_length_one_do_not_matter():
    x = np.arange(6).reshape(1, 6)
    assert to_reference(x.reshape(6, 1, 1), None, (1, 6)).shape == (1, 6)
    assert to_candidate(x, None, (6, 1, 1)).shape == (6, 1, 1)


def test_axes_may_be_merged_and_split_but_not_cut_across():
    x = np.arange(24).reshape(2, 3, 4)
    assert to_candidate(x, None, (6, 4)).shape == (6, 4)
    assert to_candidate(x, None, (4, 6)) is None
    heads = x.reshape(2, 3, 2, 2).transpose(2, 0, 1, 3)
    assert np.array_equal(to_candidate(x, (2, 0, 1, 3), heads.shape), heads)
    assert np.array_equal(to_reference(heads, (2, 0, 1, 3), x.shape), x)
    merged = x.transpose(2, 0, 1).reshape(4, 6)
    assert np.array_equal(to_candidate(x, (2, 0, 1), (4, 6)), merged)
    assert np.array_equal(to_reference(merged, (2, 0, 1), x.shape), x)


def test_statistics_against_numpy():
    x = np.array([3, 1, 2, 2, np.nan, np.inf, 1], dtype=np.float32)
    found = statistics(x)
    assert (found.min, found.max, found.unique) == (1, 3, 3)
    assert found.mean == pytest.approx(9 / 5)
    assert (found.nan, found.inf) == (1, 1)
    assert found.unique_head == found.unique_tail == (1, 2, 3)


def test_statistics_stream():
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    accumulator = StatisticsAccumulator(x.size)
    for start in range(0, 1000, 7):
        accumulator.update(x[start : start + 7])
    assert accumulator.result().unique == statistics(x).unique
    assert accumulator.result().mean == pytest.approx(statistics(x).mean)


def test_nothing_finite_has_no_range():
    assert statistics(np.array([np.nan])).min is None


def test_masked_elements_are_no_measure_of_the_others():
    reference = np.array([1.0, 2.0, np.finfo(np.float32).min], dtype=np.float32)
    found = difference(reference, reference + np.array([0.5, 0.0, 0.0], dtype=np.float32))
    assert found.peak == 2.0 and found.errors.max_abs == 0.5
    masked = reference[2:]
    assert difference(masked, masked).peak == -float(masked[0])


def test_unique_values_of_large_tensors_are_estimated_and_marked():
    drawn = np.random.default_rng(0).standard_normal(300_000)
    levels = np.random.default_rng(0).integers(0, 200, (600, 500)).astype(np.float32)
    for array, least, most in (
        (drawn, 290_000, 300_000),
        (np.maximum(drawn, 0), 140_000, 160_000),
        (levels, 200, 200),
        (levels.T > 3, 2, 2),
        (np.where(drawn > 2, np.nan, 1.0), 1, 1),
    ):
        found = statistics(array)
        assert found.unique_estimated and found.unique is not None
        assert least <= found.unique <= most
        assert (found.unique_head, found.unique_tail) == ((found.min,), (found.max,))
        exact = statistics(array, unique=True)
        assert not exact.unique_estimated and exact.unique == np.unique(array[np.isfinite(array)]).size
    assert statistics(np.full(70_000, np.inf)).unique is None
