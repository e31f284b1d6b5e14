"""Previews: what the pictures show, their round trip through JSON, the PNGs made of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import comparison_factory as factory
import json_schema
import numpy as np
import pytest
from browser import browser, complaints, requires_browser
from marks import requires_image
from test_report_html import wait
from test_report_json import SCHEMA

from aligner.diff.preview import SIDE, TILES, WORST, preview
from aligner.errors import OutputError
from aligner.records.preview import BLANK, NOT_FINITE
from aligner.report.html import write_html
from aligner.report.json_document import from_document, to_document
from aligner.report.picture import png
from aligner.report.preview_view import tiles


def drawn(reference, candidate=None, **options):
    other = reference + 0.5 if candidate is None else candidate
    made = preview(reference, other, pair=5, error="local", **options)
    assert made is not None
    return made


def levels(picture):
    return np.frombuffer(picture.pixels, np.uint8).reshape(picture.height, picture.width)


def tensor(*shape):
    """The same numbers for the same shape, whatever ran before."""
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    "shape",
    [(2,), (1, 1000), (7, 9), (1, 5, 9), (3, 4, 5), (1, 3, 640, 480), (2, 64, 7, 7), (1, 2, 3, 4, 5), (1, 1, 2)],
)
def test_any_shape_becomes_a_small_picture(shape):
    made = drawn(tensor(*shape))
    for picture in (made.reference, made.candidate, made.difference):
        assert 0 < max(picture.height, picture.width) <= SIDE + TILES
        assert len(picture.pixels) == picture.height * picture.width
    assert len(made.channels) <= TILES
    assert len(made.worst) == min(WORST, np.prod(shape))


def test_both_sides_share_one_scale():
    reference = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    made = drawn(reference, reference * 2)
    assert (made.reference.low, made.reference.high) == (made.candidate.low, made.candidate.high) == (0, 30)
    assert levels(made.candidate)[3, 3] == BLANK - 1
    assert levels(made.reference)[3, 3] == round(15 / 30 * (BLANK - 1))
    assert made.difference.high == 15


@pytest.mark.parametrize("shape", [(1, 4420, 4), (4, 4420), (1, 3, 2000, 5)])
def test_long_strips_are_cut_into_pieces(shape):
    array = tensor(*shape)
    broken = array.copy()
    broken.reshape(-1)[-1] += 9
    made = drawn(array, broken)
    assert 0.5 < made.reference.height / made.reference.width < 2
    assert (levels(made.difference) == 253).sum() == 1


def test_channels_last_are_tiles_too():
    first = tensor(1, 5, 8, 6)
    last = np.moveaxis(first, 1, 3)
    one, other = drawn(first), drawn(last, channels="last")
    assert one.reference.pixels == other.reference.pixels
    assert (one.axis, other.axis) == (1, 3)


def test_of_many_channels_the_most_different_are_shown():
    reference = tensor(1, 40, 4, 4)
    candidate = reference.copy()
    candidate[0, 33] += 9
    candidate[0, 38] = np.nan
    made = drawn(reference, candidate)
    assert {33, 38} <= set(made.channels)
    assert list(made.channels) == sorted(made.channels)
    assert "the most different" in tiles(made)


def test_shrinking_keeps_a_single_wrong_element():
    reference = np.zeros((1, 1, 500, 500), np.float32)
    candidate = reference.copy()
    candidate[0, 0, 321, 123] = 1
    made = drawn(reference, candidate)
    assert levels(made.difference).max() == BLANK - 1
    assert made.worst[0].index == (0, 0, 321, 123)
    assert len(made.worst) == 1


def test_what_is_not_finite_has_its_own_level():
    reference = tensor(1, 1, 4, 4)
    candidate = reference.copy()
    candidate[0, 0, 0, 0], candidate[0, 0, 1, 1] = np.nan, -np.inf
    made = drawn(reference, candidate)
    assert (levels(made.candidate) == NOT_FINITE).sum() == 2
    assert (levels(made.difference) == NOT_FINITE).sum() == 2
    assert [item.index for item in made.worst[:2]] == [(0, 0, 0, 0), (0, 0, 1, 1)]


def test_all_nan():
    made = drawn(tensor(4, 4), np.full((4, 4), np.nan, np.float32))
    assert (levels(made.difference) == NOT_FINITE).all()


def test_gaps_and_padding_are_blank():
    assert (levels(drawn(tensor(1, 3, 4, 4)).reference) == BLANK).sum() > 16
    assert (levels(drawn(tensor(7)).reference) == BLANK).sum() == 2


@pytest.mark.parametrize(
    "array", [np.zeros(1), np.zeros((0, 3)), np.array(["a", "b"], dtype=object), np.zeros(2, "c8")]
)
def test_what_cannot_be_seen(array):
    assert preview(array, array, pair=0, error="local") is None


def test_shapes_that_differ():
    assert preview(np.zeros((2, 3)), np.zeros((3, 2)), pair=0, error="local") is None


def test_integers_and_booleans():
    made = drawn(np.array([[True, False], [False, True]]), np.array([[True, True], [False, True]]))
    assert made.worst[0].index == (0, 1)
    assert drawn(np.arange(6, dtype=np.uint8).reshape(2, 3), np.zeros((2, 3), np.uint8)).difference.high == 5


# ------------------------------------------------------------------------------------------------------------ json


def with_previews():
    one = drawn(tensor(1, 10, 32, 32))
    broken = drawn(tensor(1, 9), np.full((1, 9), np.inf, np.float32))
    return factory.diverged(previews=(one, replace(broken, pair=15, error="accumulated")))


def test_round_trip():
    comparison = factory.diverged(previews=(drawn(tensor(1, 10, 32, 32)), drawn(tensor(9))))
    document = json.loads(json.dumps(to_document(comparison), allow_nan=False))
    assert json_schema.faults(document, SCHEMA) == []
    assert from_document(document) == comparison


def test_what_is_not_finite_is_null():
    document = to_document(with_previews())
    json.dumps(document, allow_nan=False)
    assert document["previews"][1]["worst"][0]["candidate"] is None
    assert to_document(from_document(document)) == document


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": "AAAA"},
        {"pixels": "é"},
        {"pixels": "eJwDAAAAAAE="},
        {"height": 10**9, "width": 10**9},
        {"height": 0},
        {"height": -1, "width": -1024},
    ],
)
def test_broken_pictures_are_refused(change):
    document = to_document(with_previews())
    document["previews"][0]["reference"] |= change
    with pytest.raises(OutputError):
        from_document(document)


def test_reports_without_pictures_are_read():
    document = to_document(factory.diverged())
    del document["previews"]
    assert from_document(document) == factory.diverged()


# --------------------------------------------------------------------------------------------------------- pictures


@requires_image
def test_png_is_one():
    from PIL import Image

    made = drawn(tensor(1, 3, 8, 8))
    with Image.open(io.BytesIO(png(made.reference))) as image:
        assert image.size == (made.reference.width, made.reference.height)
        assert image.convert("RGBA").getpixel((made.reference.width - 1, made.reference.height - 1))[3] == 0


@requires_browser
def test_the_page_shows_them(tmp_path):
    write_html(with_previews(), tmp_path / "page.html")
    with browser(tmp_path / "profile") as page:
        page.get((tmp_path / "page.html").as_uri())
        images = "document.querySelectorAll('.headline img, #detail img')"
        script = f"return [...{images}].map(i => i.complete && i.naturalWidth > 0)"
        wait(page, lambda driver: driver.execute_script(script) == [True] * 4)
        page.execute_script("location.hash = '#pair-16'")
        wait(page, lambda driver: "not finite" in driver.find_element("css selector", "#detail").text)
        assert complaints(page) == []
