"""Arrays reach each side in its own layout and dtype, whatever file holds them."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs_factory import F32, NCHW, NHWC, TWO, feeds, item, ramp, refused, side
from marks import requires_safetensors, requires_torch

from aligner.errors import MissingFrameworkError
from aligner.inputs import prepare_feeds
from aligner.inputs.layouts import between, choose_axes, evident_layout, move_channels
from aligner.records.graph import InputSpec, Quantization


def test_an_array_in_either_layout(tmp_path):
    last = ramp(1, 8, 6, 3)
    np.save(tmp_path / "a.npy", last)
    for value in (last, tmp_path / "a.npy", last.transpose(0, 3, 1, 2), last[0]):
        fed = feeds([item(value)], side(NCHW), side(NHWC, channels="last"))
        np.testing.assert_array_equal(fed.candidate["input"], last)
        np.testing.assert_array_equal(fed.reference["x"], last.transpose(0, 3, 1, 2))
        assert fed.correspondence == (("x", "input", (0, 2, 3, 1)),)
    fed = feeds([item(last)], side(NCHW), side(NHWC, channels="last"))
    assert "transposed from NHWC" in fed.fed[0].reference and "transposed" not in fed.fed[0].candidate
    assert "batch axis added" in feeds([item(last[0])], side(NHWC)).fed[0].reference


def test_undeclared_shapes_follow_the_data_s_layout():
    last = ramp(1, 8, 6, 3)
    eager = side(InputSpec("x"))
    fed = feeds([item(last)], eager, side(NHWC, channels="last"))
    assert fed.reference["x"].shape == (1, 3, 8, 6)
    odd = ramp(1, 30, 2, 40)
    tflite = side(InputSpec("x", odd.shape, F32), channels="last")
    assert feeds([item(odd)], eager, tflite).correspondence == (("x", "x", None),)
    told = feeds([item(odd)], eager, tflite, layout="nhwc")
    assert told.reference["x"].shape == (1, 40, 30, 2)


def test_a_cube_follows_the_sides_conventions():
    cube = ramp(1, 3, 3, 3)
    spec = InputSpec("x", cube.shape, F32)
    fed = feeds([item(cube)], side(spec), side(spec, channels="last"))
    assert fed.correspondence == (("x", "x", (0, 2, 3, 1)),)
    np.testing.assert_array_equal(fed.reference["x"], cube)
    sequence = InputSpec("x", (1, 16, 16), F32)
    fed = feeds([item(ramp(1, 16, 16))], side(sequence), side(sequence, channels="last"))
    assert fed.correspondence == (("x", "x", None),)


def test_one_dimensional_convolutions():
    fed = feeds(
        [item(ramp(1, 5, 40))],
        side(InputSpec("x", (1, 5, 40), F32)),
        side(InputSpec("x", (1, 40, 5), F32), channels="last"),
    )
    assert fed.correspondence == (("x", "x", (0, 2, 1)),)


@given(
    st.permutations([2, 5, 7]).map(tuple),
    st.sampled_from([1, 3, 4]),
    st.sampled_from(["first", "last"]),
    st.sampled_from(["first", "last"]),
    st.sampled_from(["first", "last"]),
)
@settings(max_examples=60, deadline=None)
def test_layout_round_trips(sizes, channels, data, left, right):
    """Whatever the three layouts are, both sides get the same tensor, and going there and back changes nothing."""
    batch, height, width = sizes
    logical = ramp(batch, height, width, channels)

    def laid_out(layout):
        return logical.transpose(move_channels(4, "last", layout))

    fed = feeds(
        [item(laid_out(data))],
        side(InputSpec("x", laid_out(left).shape, F32)),
        side(InputSpec("y", laid_out(right).shape, F32), channels="last"),
    )
    np.testing.assert_array_equal(fed.reference["x"], laid_out(left))
    np.testing.assert_array_equal(fed.candidate["y"], laid_out(right))
    axes = fed.correspondence[0][2]
    moved = fed.reference["x"] if axes is None else fed.reference["x"].transpose(axes)
    np.testing.assert_array_equal(moved, fed.candidate["y"])


@given(st.lists(st.integers(1, 6), min_size=4, max_size=5).map(tuple), st.sampled_from(["first", "last"]))
def test_moving_channels_there_and_back(shape, layout):
    other = "last" if layout == "first" else "first"
    there, back = move_channels(len(shape), layout, other), move_channels(len(shape), other, layout)
    array = ramp(*shape)
    np.testing.assert_array_equal(array.transpose(there).transpose(back), array)
    assert between(there, there) is None
    assert choose_axes(shape, array.transpose(there).shape, layout, other) is not None
    assert evident_layout(shape) in (None, "first", "last")


def test_a_picture_is_no_lower_than_it_has_channels():
    """Two heads of four places and four numbers: fed to a module that declares nothing, they stay as they are."""
    assert [evident_layout(shape) for shape in ((1, 2, 4, 4), (1, 8, 8, 4), (1, 3, 8, 8))] == [None, "last", "first"]


def test_what_may_be_no_picture_is_fed_as_it_is_and_turned_where_that_fails():
    array, eager = ramp(1, 8, 6, 1), side(InputSpec("x"))
    declared = InputSpec("y", array.shape, F32)
    assert feeds([item(array)], eager, side(declared)).correspondence == (("x", "y", None),)
    turned = replace(eager, channels="last", turned=True)
    assert feeds([item(array)], turned, side(declared)).reference["x"].shape == (1, 1, 8, 6)
    for fed in (
        feeds([item(array)], eager, side(declared, channels="last")),
        feeds([item(array)], eager, side(declared), layout="nhwc"),
        feeds([item(array.astype(np.uint8))], eager, side(declared)),
    ):
        assert fed.reference["x"].shape == (1, 1, 8, 6)


@requires_torch
@pytest.mark.parametrize("channels", [1, 8])
def test_a_module_is_asked_how_it_takes_an_array_that_may_be_no_picture(channels):
    import torch

    import aligner

    module = torch.nn.Conv2d(channels, 2, 1).eval()
    found = aligner.compare(module, module, [ramp(1, 8, 6, 1).astype(np.float32)])
    wanted = (1, 1, 8, 6) if channels == 1 else (1, 8, 6, 1)
    assert found.verdict == "aligned" and found.pairs[0].reference.shape == wanted
    assert any("channels first" in note for note in found.comparison.notes) == (channels == 1)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple))
def test_an_array_that_fits_is_never_turned(shape):
    assert choose_axes(shape, shape, None, None) == tuple(range(len(shape)))


def test_dtypes():
    vector = InputSpec("x", (3,), F32)
    fed = feeds([item(np.array([1.0, 2.0, 3.0]))], side(vector))
    assert fed.reference["x"].dtype == np.float32 and "cast from float64" in fed.fed[0].reference
    fed = feeds([item(np.array([1, 2, 3]))], side(vector))
    assert fed.reference["x"].dtype == np.float32 and "cast from int64" in fed.fed[0].reference
    whole = side(InputSpec("x", (3,), "int64"))
    assert feeds([item(np.array([1.0, 2.0, 3.0]))], whole).reference["x"].dtype == np.int64
    assert "whole numbers" in refused([item(np.array([1.0, 2.5, 3.0]))], whole).what
    small = side(InputSpec("x", (3,), "uint8"))
    assert "whole numbers in its range" in refused([item(np.array([1, 2, 300]))], small).what
    assert "overflow" in refused([item(np.array([1.0, 2.0, 1e9]))], side(InputSpec("x", (3,), "float16"))).what
    assert "truth" in refused([item(np.array([0, 1, 2]))], side(InputSpec("x", (3,), "bool"))).what
    assert feeds([item(np.array([0, 1, 1]))], side(InputSpec("x", (3,), "bool"))).reference["x"].dtype == bool
    assert feeds([item(np.arange(3.0))], side(InputSpec("x"))).reference["x"].dtype == np.float32
    assert feeds([item(np.arange(3.0, dtype=">f4"))], side(vector)).reference["x"].dtype.isnative
    assert feeds([item(["a", "b", "c"])], side(InputSpec("x", (3,), "string"))).reference["x"].dtype == object
    assert "text" in refused([item(["a", "b", "c"])], side(vector)).what
    assert feeds([item(np.arange(3.0))], side(InputSpec("x", (3,), "bfloat16"))).reference["x"].dtype == np.float32


def test_forced_dtype():
    ids, data = InputSpec("input_ids", (1, 3), "int64"), InputSpec("x", (3,), F32)
    fed = feeds([item([[1, 2, 3]], "input_ids"), item(np.arange(3.0), "x")], side(ids, data), dtype="float16")
    assert (fed.reference["input_ids"].dtype, fed.reference["x"].dtype) == (np.int64, np.float16)
    assert "--dtype" in refused([item(np.arange(3.0))], side(data), dtype="uint8").what
    assert "--dtype" in refused([item(np.arange(3.0))], side(data), dtype="float33").what


def test_quantised_arrays():
    quantised = side(InputSpec("q", (4,), "int8", quantization=Quantization((0.5,), (3,))))
    real = np.array([-1.0, 0.0, 0.4, 100.0], np.float32)
    fed = feeds([item(real)], side(InputSpec("x", (4,), F32)), quantised)
    np.testing.assert_array_equal(fed.candidate["q"], np.array([1, 3, 4, 127], np.int8))
    np.testing.assert_array_equal(fed.reference["x"], real)
    assert "25.0%" in fed.warnings[0]
    stored = np.array([-128, 3, 4, 127], np.int8)
    fed = feeds([item(stored)], side(InputSpec("x", (4,), F32)), quantised)
    np.testing.assert_array_equal(fed.candidate["q"], stored)
    np.testing.assert_array_equal(fed.reference["x"], [-65.5, 0.0, 0.5, 62.0])
    assert "dequantised" in fed.fed[0].reference and "taken as stored" in fed.fed[0].candidate
    scalar = side(InputSpec("q", (), "int8", quantization=Quantization((0.5,), (3,))))
    assert feeds([item(1.0, "q")], scalar).reference["q"].shape == ()


def test_the_user_s_arrays_are_not_touched():
    given_array = ramp(1, 3, 8, 6)
    fed = feeds([item(given_array)], side(NCHW), side(NCHW))
    fed.reference["x"][...] = 7
    np.testing.assert_array_equal(given_array, ramp(1, 3, 8, 6))
    np.testing.assert_array_equal(fed.candidate["x"], given_array)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (ramp(1, 3, 9, 6), "wrong shape"),
        (ramp(3, 9), "wrong rank"),
        (ramp(1, 1, 3, 8, 6), "wrong rank"),
        (np.zeros((0, 3, 8, 6), np.float32), "empty"),
        (np.full((1, 3, 8, 6), np.nan, np.float32), "NaN"),
        ([[1, 2], [3]], "not an array"),
        (object(), "no numbers"),
    ],
)
def test_arrays_that_do_not_fit(value, words):
    assert words in refused([item(value, "x")], side(NCHW)).what


def test_where_the_nan_is():
    array = ramp(1, 3, 8, 6)
    array[0, 1, 2, 3] = np.inf
    error = refused([item(array)], side(NCHW))
    assert "1 of 144" in error.found and "(0, 1, 2, 3)" in error.found


def test_constant_input_is_a_warning():
    fed = feeds([item(np.ones((1, 3, 8, 6), np.float32))], side(NCHW))
    assert "constant input hides channel order and padding" in fed.warnings[0]
    assert not feeds([item(ramp(1, 3, 8, 6))], side(NCHW)).warnings


def test_picture_options_without_a_picture_are_said():
    assert "pictures" in feeds([item(ramp(1, 3, 8, 6))], side(NCHW), mean=(0.5,)).notes[0]


def test_npz(tmp_path):
    path = tmp_path / "both.npz"
    np.savez(path, b=np.arange(3.0), a=np.arange(2.0), label=np.arange(9))
    fed = feeds([item(path)], side(*TWO), side(*TWO))
    assert [row.source for row in fed.fed] == ["both.npz[a]", "both.npz[b]"]
    assert "label" in fed.notes[0]
    np.savez(path, np.arange(2.0), np.arange(3.0))
    assert feeds([item(path)], side(*TWO)).reference["b"].shape == (3,)
    np.savez(path, anything=np.arange(2.0))
    assert feeds([item(path)], side(TWO[0])).reference["a"].shape == (2,)
    assert feeds([item(path, "a")], side(TWO[0])).reference["a"].shape == (2,)
    np.savez(path, p=np.arange(2.0), q=np.arange(3.0))
    assert "named like an input" in refused([item(path)], side(*TWO)).what
    assert "no array named" in refused([item(path, "a")], side(*TWO)).what


def test_pickles_are_not_opened(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}, {}]), allow_pickle=True)
    assert "cannot read" in refused([item(tmp_path / "o.npy")], side(TWO[0])).what


@requires_torch
def test_torch_files(tmp_path):
    import torch

    path = tmp_path / "t.pt"
    torch.save(torch.arange(2.0), path)
    assert feeds([item(path)], side(TWO[0])).reference["a"].tolist() == [0, 1]
    torch.save({"a": torch.arange(2.0), "b": torch.arange(3.0).bfloat16()}, path)
    assert feeds([item(path)], side(*TWO)).reference["b"].tolist() == [0, 1, 2]
    torch.save({"a": 1}, path)
    assert "no tensor" in refused([item(path)], side(*TWO)).what
    torch.save(torch.nn.Linear(1, 1), path)
    assert "cannot read" in refused([item(path)], side(*TWO)).what
    live = torch.arange(2.0, requires_grad=True)
    assert feeds([item(live)], side(TWO[0])).reference["a"].tolist() == [0, 1]


@requires_safetensors
def test_safetensors(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "t.safetensors"
    save_file({"a": np.arange(2.0), "b": np.arange(3, dtype=np.float32)}, path)
    assert feeds([item(path)], side(*TWO)).reference["a"].dtype == np.float32
    path.write_bytes(b"not safe")
    assert "cannot read" in refused([item(path)], side(*TWO)).what


def test_a_cache_before_its_first_step_is_empty():
    x, cache = InputSpec("x", (1, None, 4), F32), InputSpec("past", (1, None, 4), F32)
    none = np.zeros((1, 0, 4), np.float32)
    fed = feeds([item(ramp(1, 3, 4), "x"), item(none, "past")], side(x, cache), side(x, cache))
    assert fed.candidate["past"].shape == (1, 0, 4)
    assert fed.fed[1].reference == "1×0×4 float32"
    assert "is empty" in refused([item(none, "x"), item(none, "past")], side(x, cache)).what
    assert "is empty" in refused([item([], "x")], side(x)).what


def test_a_missing_reader_is_an_answer(tmp_path, monkeypatch):
    (tmp_path / "p.png").write_bytes(b"some")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingFrameworkError) as caught:
        prepare_feeds([item(tmp_path / "p.png")], side(NCHW))
    assert 'pip install "aligner[image]"' in caught.value.hint
