"""A picture is decoded once and reaches each side as that side declares it."""

from __future__ import annotations

import numpy as np
import pytest
from inputs_factory import F32, INT8_PIXELS, NCHW, NHWC, feeds, item, picture, refused, side
from marks import requires_image

from aligner.records.graph import InputSpec, Quantization


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


@requires_image
def test_a_side_of_no_declared_dtype_gets_the_pixels_of_an_integer_side(tmp_path):
    picture(tmp_path / "p.png")
    undeclared, integer = side(InputSpec("input", None, None)), side(InputSpec("input", (1, 3, 8, 6), "uint8"))
    fed = feeds([item(tmp_path / "p.png")], undeclared, integer)
    assert fed.reference["input"].dtype == np.uint8
    assert np.array_equal(fed.reference["input"], fed.candidate["input"])
    assert "does not say which numbers it takes" in " ".join(fed.notes)


@requires_image
@pytest.mark.parametrize("said", [{"scaled": ("reference",)}, {"dtype": "float32"}, {"scale": 1.0}])
def test_a_side_that_refuses_pixels_or_is_said_to_gets_real_values(tmp_path, said):
    picture(tmp_path / "p.png")
    undeclared, integer = side(InputSpec("input", None, None)), side(InputSpec("input", (1, 3, 8, 6), "uint8"))
    fed = feeds([item(tmp_path / "p.png")], undeclared, integer, **said)
    assert fed.reference["input"].dtype == np.float32 and fed.reference["input"].max() <= 1
    assert fed.candidate["input"].dtype == np.uint8
