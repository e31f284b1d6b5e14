"""Inputs: what the user gives reaches both sides, each in its own layout and dtype, or is refused in three parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from marks import requires_image, requires_safetensors, requires_torch

from aligner.errors import InputError, MissingFrameworkError
from aligner.inputs import InputItem, Preprocessing, SideInfo, parse_input, prepare_feeds
from aligner.inputs.layouts import between, choose_axes, evident_layout, move_channels
from aligner.records.graph import InputSpec, Quantization, Signature

F32 = "float32"
INT8_PIXELS = Quantization((1.0,), (-128,))
NCHW = InputSpec("x", (1, 3, 8, 6), F32)
NHWC = InputSpec("input", (1, 8, 6, 3), F32)
VAD = (
    InputSpec("input", (None, None), F32),
    InputSpec("state", (2, None, 128), F32),
    InputSpec("sr", (), "int64"),
)


def side(*specs, channels="first", **more):
    return SideInfo(Signature(tuple(specs)), channels, "test", **more)


def item(value, name=None, role=None):
    return InputItem(name, role, value)


def picture(path, height=10, width=7, mode="RGB", seed=0):
    from PIL import Image

    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, *channels), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def feeds(items, reference, candidate=None, seed=0, **options):
    prepared = prepare_feeds(items, reference, candidate, Preprocessing(**options), seed)
    for name, other, axes in prepared.correspondence:
        moved = prepared.reference[name] if axes is None else np.transpose(prepared.reference[name], axes)
        assert moved.shape == prepared.candidate[other].shape
    for array in (*prepared.reference.values(), *(prepared.candidate or {}).values()):
        assert array.flags.c_contiguous and array.flags.owndata
    return prepared


def refused(items, reference, candidate=None, **options):
    with pytest.raises(InputError) as caught:
        prepare_feeds(items, reference, candidate, Preprocessing(**options), 0)
    assert caught.value.what and caught.value.hint
    return caught.value


# -- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "role", "value"),
    [
        ("sr=16000", "sr", None, 16000),
        ("candidate.sr=16000", "sr", "candidate", 16000),
        ("reference.h=[1, 2.5]", "h", "reference", [1, 2.5]),
        ("flag=True", "flag", None, True),
        ("flag=false", "flag", None, False),
        ("x=(1, (2, 3))", "x", None, [1, [2, 3]]),
        ("input:0=-1.5e-3", "input:0", None, -1.5e-3),
        ("text='hello'", "text", None, "hello"),
    ],
)
def test_parse_literals(text, name, role, value):
    parsed = parse_input(text)
    assert (parsed.name, parsed.side, parsed.value) == (name, role, value)


def test_parse_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npy", "x=a.npy", "16000"):
        (tmp_path / name).touch()
    assert parse_input("a.npy").value.name == "a.npy"
    assert parse_input("reference.x=a.npy").side == "reference"
    whole = parse_input("x=a.npy")
    assert (whole.name, whole.value.name) == (None, "x=a.npy")
    assert parse_input("sr=16000").value.name == "16000"


@pytest.mark.parametrize(
    "text", ["face.png", "x=face.png", "x=nan", "x={1: 2}", "=1", "reference.=1", "", "x=", "x=[None]"]
)
def test_parse_refuses(text):
    with pytest.raises(InputError) as caught:
        parse_input(text)
    assert caught.value.hint


def test_the_room_opens_without_numpy():
    code = "import sys; from aligner.inputs import parse_input; parse_input('sr=1'); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# -- pictures ---------------------------------------------------------------------------------------------------------


@requires_image
def test_a_picture_reaches_each_side_in_its_layout(tmp_path):
    pixels = picture(tmp_path / "p.png", 8, 6)
    fed = feeds([item(tmp_path / "p.png")], side(NCHW), side(NHWC, channels="last"))
    np.testing.assert_array_equal(fed.candidate["input"][0], (pixels / 255).astype(np.float32))
    np.testing.assert_array_equal(fed.reference["x"], fed.candidate["input"].transpose(0, 3, 1, 2))
    assert fed.correspondence == (("x", "input", (0, 2, 3, 1)),)
    row = fed.fed[0]
    assert (row.name, row.source) == ("x", "p.png")
    assert row.reference == "1×3×8×6 float32, 0..1, RGB, NCHW"
    assert row.candidate == "1×8×6×3 float32, 0..1, RGB, NHWC"


@requires_image
def test_a_picture_is_resized_and_it_is_said(tmp_path):
    from PIL import Image

    picture(tmp_path / "p.png", 30, 20)
    fed = feeds([item(tmp_path / "p.png")], side(NCHW), side(NHWC))
    expected = Image.open(tmp_path / "p.png").resize((6, 8), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(fed.candidate["input"][0], (np.asarray(expected) / 255).astype(np.float32))
    assert "resized from 30×20" in fed.fed[0].reference


@requires_image
def test_scale_mean_std(tmp_path):
    pixels = picture(tmp_path / "p.png", 8, 6).astype(np.float64)
    fed = feeds([item(tmp_path / "p.png")], side(NHWC), scale=255, mean=(127.0,), std=(128.0,))
    np.testing.assert_array_equal(fed.reference["input"][0], ((pixels - 127) / 128).astype(np.float32))
    assert "−0.9922..1, RGB, NHWC" in fed.fed[0].reference
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    fed = feeds([item(tmp_path / "p.png")], side(NHWC), mean=mean, std=std)
    np.testing.assert_allclose(fed.reference["input"][0], (pixels / 255 - mean) / std, rtol=1e-6, atol=1e-6)
    assert "channels" in refused([item(tmp_path / "p.png")], side(NHWC), mean=(1.0, 2.0)).found


@requires_image
def test_bgr_swaps(tmp_path):
    picture(tmp_path / "p.png", 8, 6)
    rgb = feeds([item(tmp_path / "p.png")], side(NHWC)).reference["input"]
    fed = feeds([item(tmp_path / "p.png")], side(NHWC), color="bgr")
    np.testing.assert_array_equal(fed.reference["input"], rgb[..., ::-1])
    assert "BGR" in fed.fed[0].reference


@requires_image
@pytest.mark.parametrize(("mode", "channels"), [("L", 3), ("RGBA", 3), ("RGB", 1), ("RGB", 4), ("L", 1), ("RGBA", 4)])
def test_channels_follow_the_model(tmp_path, mode, channels):
    picture(tmp_path / "p.png", 8, 6, mode)
    fed = feeds([item(tmp_path / "p.png")], side(InputSpec("x", (1, channels, 8, 6), F32)))
    assert fed.reference["x"].shape == (1, channels, 8, 6)
    assert ("alpha dropped" in fed.fed[0].reference) == (mode == "RGBA" and channels == 3)


@requires_image
def test_palette_sixteen_bits_and_exif(tmp_path):
    from PIL import Image

    Image.new("P", (6, 8), 3).save(tmp_path / "p.gif")
    assert feeds([item(tmp_path / "p.gif")], side(NCHW)).reference["x"].shape == (1, 3, 8, 6)
    deep = np.linspace(0, 65535, 48).reshape(8, 6).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    fed = feeds([item(tmp_path / "deep.png")], side(NHWC)).reference["input"]
    np.testing.assert_allclose(fed[0, :, :, 1], deep / 65535, atol=1e-6)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (8, 6), (9, 8, 7)).save(tmp_path / "turned.jpg", exif=exif)
    assert "resized" not in feeds([item(tmp_path / "turned.jpg")], side(NCHW)).fed[0].reference


@requires_image
def test_uint8_gets_pixels_and_float_gets_0_to_1(tmp_path):
    pixels = picture(tmp_path / "p.png", 8, 6)
    fed = feeds([item(tmp_path / "p.png")], side(NCHW), side(InputSpec("input", (1, 8, 6, 3), "uint8")))
    np.testing.assert_array_equal(fed.candidate["input"][0], pixels)
    assert fed.candidate["input"].dtype == np.uint8
    assert fed.reference["x"].max() <= 1
    assert "0..255" in fed.fed[0].candidate and "0..255" in fed.notes[0]
    assert "int8" in refused([item(tmp_path / "p.png")], side(InputSpec("x", (1, 3, 8, 6), "int8"))).what


@requires_image
@pytest.mark.parametrize(
    ("quantization", "dtype", "low", "high"),
    [
        (Quantization((1 / 255,), (-128,)), "int8", 0.0, 1.0),
        (Quantization((1 / 128,), (128,)), "uint8", -1.0, 1.0),
        (INT8_PIXELS, "int8", 0.0, 255.0),
    ],
)
def test_a_quantised_input_stands_for_the_reference_s_real_values(tmp_path, quantization, dtype, low, high):
    pixels = picture(tmp_path / "p.png", 8, 6)
    quantised = InputSpec("input", (1, 8, 6, 3), dtype, quantization=quantization)
    fed = feeds([item(tmp_path / "p.png")], side(NCHW), side(quantised, channels="last"))
    assert fed.candidate["input"].dtype == np.dtype(dtype)
    real = quantization.dequantize(fed.candidate["input"])
    reference = fed.reference["x"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(reference[0], pixels / 255 * (high - low) + low, atol=1e-4)
    assert np.abs(real - reference).max() <= quantization.scale[0] * 1.01
    assert bool(fed.notes) == (high - low != 1)


@requires_image
def test_modules_that_declare_nothing_take_the_other_side_s_shape(tmp_path):
    picture(tmp_path / "p.png", 30, 20)
    fed = feeds([item(tmp_path / "p.png")], side(InputSpec("x")), side(NHWC, channels="last"))
    assert fed.reference["x"].shape == (1, 3, 8, 6)
    grey = InputSpec("input", (None, None, None, 1), F32)
    assert feeds([item(tmp_path / "p.png")], side(InputSpec("x")), side(grey)).reference["x"].shape == (1, 1, 30, 20)
    alone = feeds([item(tmp_path / "p.png")], side(InputSpec("x")), size=(5, 4))
    assert alone.reference["x"].shape == (1, 3, 5, 4) and alone.candidate is None
    last = feeds([item(tmp_path / "p.png")], side(InputSpec("x")), layout="nhwc")
    assert last.reference["x"].shape == (1, 30, 20, 3)


@requires_image
def test_a_live_picture(tmp_path):
    from PIL import Image

    picture(tmp_path / "p.png", 8, 6)
    fed = feeds([item(Image.open(tmp_path / "p.png"))], side(NCHW))
    np.testing.assert_array_equal(fed.reference["x"], feeds([item(tmp_path / "p.png")], side(NCHW)).reference["x"])


@requires_image
def test_pictures_that_do_not_fit(tmp_path):
    path = tmp_path / "p.png"
    picture(path, 8, 6)
    text = side(InputSpec("input_ids", (1, 16), "int64"))
    assert "takes none" in refused([item(path)], text).what
    assert "takes none" in refused([item(path)], side(InputSpec("f", (1, 30, 1, 40), F32))).what
    larger = side(InputSpec("input", (1, 16, 6, 3), F32))
    error = refused([item(path)], side(NCHW), larger)
    assert "sizes" in error.what and "1×3×8×6" in error.found and "1×16×6×3" in error.found
    assert "--input reference.x=" in error.hint and "candidate.input=" in error.hint
    assert "--size" in refused([item(path)], side(NCHW), size=(9, 9)).what
    grey = side(InputSpec("input", (1, 1, 8, 6), F32))
    assert "channels" in refused([item(path)], side(NCHW), grey).what


@requires_image
@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n broken", b"plain text, no picture", b"GIF89a"])
@pytest.mark.parametrize("suffix", [".png", ".npy", ".npz", ".bin"])
def test_damaged_files(tmp_path, content, suffix):
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    assert str(path) in refused([item(path)], side(NCHW)).what


@requires_image
def test_truncated_files(tmp_path):
    picture(tmp_path / "p.png", 100, 100)
    np.save(tmp_path / "a.npy", np.zeros((50, 50)))
    np.savez(tmp_path / "a.npz", x=np.zeros((50, 50)))
    for name in ("p.png", "a.npy", "a.npz"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-60])
        assert "cannot read" in refused([item(path)], side(NCHW)).what


def test_missing_files_and_directories(tmp_path):
    assert "no such input file" in refused([item(tmp_path / "no.png")], side(NCHW)).what
    assert "directory" in refused([item(tmp_path)], side(NCHW)).what


# -- arrays -----------------------------------------------------------------------------------------------------------


def ramp(*shape, dtype=np.float32):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


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


# -- containers -------------------------------------------------------------------------------------------------------

TWO = (InputSpec("a", (2,), F32), InputSpec("b", (3,), F32))


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


def test_a_missing_reader_is_an_answer(tmp_path, monkeypatch):
    (tmp_path / "p.png").write_bytes(b"some")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingFrameworkError) as caught:
        prepare_feeds([item(tmp_path / "p.png")], side(NCHW))
    assert 'pip install "aligner[image]"' in caught.value.hint


# -- which input ------------------------------------------------------------------------------------------------------


def test_names():
    fed = feeds([item(ramp(2), "a"), item(ramp(3), "b")], side(*TWO), side(*reversed(TWO)))
    assert [pair[:2] for pair in fed.correspondence] == [("a", "a"), ("b", "b")]
    exported = side(InputSpec("serving_default_b:0", (3,), F32), InputSpec("serving_default_a:0", (2,), F32))
    fed = feeds([item(ramp(2), "a"), item(ramp(3), "b")], side(*TWO), exported)
    assert ("a", "serving_default_a:0", None) in fed.correspondence
    aliased = side(InputSpec("p", (2,), F32), InputSpec("q", (3,), F32), names={"q": ("a3", "b")})
    assert ("b", "q", None) in feeds([item(ramp(2)), item(ramp(3))], side(*TWO), aliased).correspondence
    error = refused([item(ramp(2), "c")], side(*TWO))
    assert "no input named 'c'" in error.what and "reference.a (2 float32)" in error.found
    assert "the candidate has no input" in refused([item(1, "c", "candidate")], side(*TWO), side(*TWO)).what
    assert "twice" in refused([item(ramp(2), "a"), item(ramp(2), "a")], side(*TWO)).what


def test_shapes_then_order():
    swapped = side(InputSpec("q", (3,), F32), InputSpec("p", (2,), F32))
    fed = feeds([item(ramp(2), "a"), item(ramp(3), "b")], side(*TWO), swapped)
    assert {pair[:2] for pair in fed.correspondence} == {("a", "p"), ("b", "q")}
    same = [InputSpec(name, (2,), F32) for name in "abcd"]
    fed = feeds([item(ramp(2)), item(ramp(2) + 1)], side(*same[:2]), side(*same[2:]))
    assert [pair[:2] for pair in fed.correspondence] == [("a", "c"), ("b", "d")]
    error = refused([item(ramp(2))], side(*same[:2]), side(InputSpec("c", (4,), F32), InputSpec("d", (5,), F32)))
    assert "do not answer each other" in error.what and "--input candidate.c=" in error.hint


def test_unnamed_items_find_their_place():
    assert feeds([item(ramp(2)), item(ramp(3))], side(*TWO)).reference["b"].shape == (3,)
    assert "no data for input b" in refused([item(ramp(2))], side(*TWO)).what
    assert "more inputs" in refused([item(ramp(2))] * 3, side(*TWO)).what
    optional = side(TWO[0], InputSpec("b", (3,), F32, required=False))
    assert list(feeds([item(ramp(2))], optional).reference) == ["a"]
    fed = feeds([item(ramp(1, 512)), item(16000, "sr")], side(*VAD), side(*VAD))
    assert fed.reference["input"].shape == (1, 512) and fed.reference["sr"].shape == ()
    ambiguous = [InputSpec(name, (2,), F32) for name in "ab"]
    assert "cannot tell" in refused([item(ramp(2))], side(*ambiguous, TWO[1])).what


@requires_image
def test_a_picture_goes_to_the_only_input_for_pictures(tmp_path):
    picture(tmp_path / "p.png", 8, 6)
    fed = feeds([item(tmp_path / "p.png"), item(0.5, "w")], side(InputSpec("w", (), F32), NCHW))
    assert fed.reference["x"].shape == (1, 3, 8, 6)


def test_inputs_that_differ_in_shape():
    items = [item(ramp(1, 512)), item(16000, "sr")]
    reference = side(InputSpec("x", (1, 512), F32), InputSpec("sr"))
    candidate = side(
        InputSpec("input", (1, 576), F32), InputSpec("state", (2, 1, 128), F32), InputSpec("sr", (), "int64")
    )
    error = refused(items, reference, candidate)
    assert "1×512" in error.found and "1×576" in error.found
    assert "--input reference.x=" in error.hint and "--input candidate.input=" in error.hint
    own = [item(ramp(1, 512), "x", "reference"), item(ramp(1, 576), "input", "candidate"), item(16000, "sr")]
    fed = feeds(own, reference, candidate)
    assert fed.correspondence == (("sr", "sr", None),)
    assert "different data" in fed.warnings[0]
    assert not fed.candidate["state"].any() and "zeros" in fed.notes[0]
    assert "the reference alone" in refused(own[:1] + own[2:], reference, candidate).what


def test_own_data_that_agrees_corresponds():
    last = ramp(1, 8, 6, 3)
    own = [item(last, "input", "candidate"), item(last.transpose(0, 3, 1, 2), "x", "reference")]
    fed = feeds(own, side(NCHW), side(NHWC))
    assert fed.correspondence == (("x", "input", (0, 2, 3, 1)),) and not fed.warnings


def test_a_setting_of_one_side_is_asked_for_by_name():
    error = refused([item(ramp(1, 512))], side(InputSpec("x")), side(*VAD))
    assert "sr" in error.what and "--input sr=" in error.hint
    fed = feeds([item(ramp(1, 512)), item(16000, "sr", "candidate")], side(InputSpec("x")), side(*VAD))
    assert fed.candidate["sr"].dtype == np.int64 and fed.correspondence == (("x", "input", None),)
    eager = side(InputSpec("wave"), InputSpec("rate"))
    fed = feeds([item(ramp(1, 512)), item(16000, "rate")], eager, side(VAD[0]))
    assert ("wave", "input", None) in fed.correspondence


def test_masks_types_and_positions_are_derived():
    names = ("input_ids", "attention_mask", "token_type_ids", "position_ids")
    bert = side(*(InputSpec(name, (None, None), "int64") for name in names))
    fed = feeds([item([[5, 6, 7]])], side(InputSpec("input_ids"), InputSpec("attention_mask", required=False)), bert)
    assert fed.candidate["attention_mask"].tolist() == fed.reference["attention_mask"].tolist() == [[1, 1, 1]]
    assert fed.candidate["token_type_ids"].tolist() == [[0, 0, 0]]
    assert fed.candidate["position_ids"].tolist() == [[0, 1, 2]]
    assert len(fed.notes) == 3 and any("attention_mask" in note and "ones" in note for note in fed.notes)


# -- random -----------------------------------------------------------------------------------------------------------


def test_random_data_is_the_same_on_both_sides_and_repeats():
    fed = feeds([], side(NCHW), side(NHWC, channels="last"), seed=3)
    np.testing.assert_array_equal(fed.reference["x"].transpose(0, 2, 3, 1), fed.candidate["input"])
    again = feeds([], side(NCHW), side(NHWC, channels="last"), seed=3)
    np.testing.assert_array_equal(again.reference["x"], fed.reference["x"])
    other = feeds([], side(NCHW), side(NHWC, channels="last"), seed=4)
    assert not np.array_equal(other.reference["x"], fed.reference["x"])
    assert fed.random and "seed 3" in fed.notes[0] and "seed 3" in fed.fed[0].source
    assert fed.reference["x"].min() >= 0 and fed.reference["x"].max() <= 1


def test_random_kinds():
    specs = (
        InputSpec("features", (None, 42), F32),
        InputSpec("input_ids", (None, None), "int64"),
        InputSpec("flag", (), "bool"),
        InputSpec("image", (None, 3, None, None), F32),
        InputSpec("hidden", (2, None, 128), F32),
        InputSpec("pixels", (1, 8, 8, 3), "uint8"),
    )
    fed = feeds([], side(*specs))
    shapes = {name: array.shape for name, array in fed.reference.items()}
    assert shapes == {
        "features": (1, 42),
        "input_ids": (1, 16),
        "flag": (),
        "image": (1, 3, 224, 224),
        "hidden": (2, 1, 128),
        "pixels": (1, 8, 8, 3),
    }
    assert fed.reference["features"].min() < 0 and fed.reference["input_ids"].max() < 10
    assert fed.reference["pixels"].max() > 200 and fed.reference["hidden"].std() > 0.5
    assert feeds([], side(specs[3]), size=(10, 12)).reference["image"].shape == (1, 3, 10, 12)


def test_random_data_fills_a_quantised_range():
    quantised = InputSpec("x", (1, 49, 10, 1), "int8", quantization=Quantization((0.5,), (80,)))
    fed = feeds([], side(InputSpec("x", (1, 49, 10, 1), F32), channels="last"), side(quantised, channels="last"))
    assert np.ptp(fed.candidate["x"].astype(int)) > 200 and not fed.warnings


def test_what_cannot_be_drawn():
    assert "no model declares its shape" in refused([], side(InputSpec("x")), side(InputSpec("x"))).what
    assert "--input sr=" in refused([], side(*VAD), side(*VAD)).hint
    assert "differently" in refused([], side(NCHW), side(InputSpec("x", (1, 3, 9, 6), F32))).what
    assert refused([], side(InputSpec("t", (1,), "string"))).what


def test_random_masks_stay_masks():
    names = ("input_ids", "attention_mask", "token_type_ids")
    bert = side(*(InputSpec(name, (None, None), "int64") for name in names))
    fed = feeds([], side(*(InputSpec(name) for name in names)), bert)
    assert fed.reference["attention_mask"].tolist() == [[1] * 16]
    assert fed.reference["input_ids"].shape == (1, 16)


# -- recordings -------------------------------------------------------------------------------------------------------


def test_a_recording_brings_its_own_inputs():
    stored = ramp(1, 8, 6, 3)
    recording = side(NHWC, channels="last", recorded={"input": stored})
    fed = feeds([], recording, side(NCHW))
    np.testing.assert_array_equal(fed.candidate["x"], stored.transpose(0, 3, 1, 2))
    assert fed.correspondence == (("input", "x", (0, 3, 1, 2)),) and not fed.random
    fed = feeds([], side(InputSpec("x")), recording)
    assert fed.reference["x"].shape == (1, 3, 8, 6)
    fed = feeds([item(stored)], recording, side(NCHW))
    assert fed.correspondence and not fed.warnings
    fed = feeds([item(stored + 1)], recording, side(NCHW))
    assert "different data" in fed.warnings[0] and not fed.correspondence
    np.testing.assert_array_equal(fed.reference["input"], stored)
    assert "recording" in refused([item(stored, "input", "reference")], recording, side(NCHW)).what


def test_a_quantised_recording():
    spec = InputSpec("q", (4,), "int8", quantization=Quantization((0.5,), (3,)))
    stored = np.array([-128, 3, 4, 127], np.int8)
    fed = feeds([], side(InputSpec("x", (4,), F32)), side(spec, recorded={"q": stored}))
    np.testing.assert_array_equal(fed.reference["x"], [-65.5, 0.0, 0.5, 62.0])
    assert fed.correspondence == (("x", "q", None),)


def test_options_that_make_no_sense():
    for options in ({"std": (0.0,)}, {"size": (0, 3)}, {"mean": (float("nan"),)}):
        with pytest.raises(InputError):
            Preprocessing(**options)
