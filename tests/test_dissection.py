"""Culprits taken apart: settings and weights side by side, small pictures of weights, in JSON and on the page."""

from __future__ import annotations

import json
from dataclasses import replace

import comparison_factory as factory
import json_schema
import numpy as np
import pytest
from browser import browser, complaints, requires_browser
from marks import requires_onnx
from test_preview import levels
from test_report_html import thousand, wait
from test_report_json import SCHEMA

from aligner.diff.preview import preview
from aligner.diff.weight_picture import SIDE, weight_pictures
from aligner.errors import OutputError
from aligner.records.preview import BLANK
from aligner.report.html import to_html, write_html
from aligner.report.json_document import from_document, to_document

RANDOM = np.random.default_rng(0)


def weight(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


# ---- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape",
    [
        *((2,), (7,), (5000,), (4, 6), (1, 300), (2000, 700), (8, 4, 1, 1), (16, 3, 3, 3), (512, 256, 3, 3)),
        *((64, 1, 5, 5), (4, 4, 9), (3, 2, 3, 3, 3), (2, 2, 200, 200), (1, 1, 1, 300), (2, 1, 1, 2)),
    ],
)
def test_any_weight_becomes_a_small_picture(shape):
    one = weight(*shape)
    made = weight_pictures(one, one + 1)
    for picture in (made.reference, made.candidate, made.difference):
        assert 0 < picture.height <= SIDE
        assert 0 < picture.width <= SIDE
        assert len(picture.pixels) == picture.height * picture.width
    assert (made.reference.low, made.reference.high) == (made.candidate.low, made.candidate.high)


def test_kernels_are_tiles_of_outputs_by_inputs():
    made = weight_pictures(weight(5, 2, 3, 3), weight(5, 2, 3, 3))
    assert (made.reference.height, made.reference.width) == (5 * 4 - 1, 2 * 4 - 1)
    assert (levels(made.reference)[3] == BLANK).all()
    assert made.tiles == "rows: 5 outputs, columns: 2 inputs, kernels 3×3"


def test_of_many_channels_those_that_differ_are_shown():
    one = np.zeros((200, 40, 3, 3), np.float32)
    other = one.copy()
    other[190, 35, 1, 1] = 2
    made = weight_pictures(one, other)
    assert made.tiles.startswith("rows: the 24 most different of 200 outputs")
    assert made.difference.high == 2
    assert (levels(made.difference) == 253).sum() == 1


def test_depthwise_kernels_fill_lines():
    made = weight_pictures(weight(64, 1, 3, 3), weight(64, 1, 3, 3))
    assert (made.reference.height, made.reference.width) == (31, 31)
    assert "64 channels" in made.tiles


def test_what_cannot_be_drawn():
    assert weight_pictures(weight(3, 3), weight(3, 4)) is None
    assert weight_pictures(weight(1), weight(1)) is None
    broken = weight_pictures(weight(3, 3), np.full((3, 3), np.nan, np.float32))
    assert (levels(broken.candidate) == 255).all()


# ---- of real models --------------------------------------------------------------------------------------------------


def convolution(path, kernel, pads):
    """One convolution between two activations, written without an exporter."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="before"),
        helper.make_node("Conv", ["a", "w", "b"], ["c"], name="conv", pads=pads, kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["y"], name="after"),
    ]
    bias = np.array([0.5, -0.5, 0, 1], np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(kernel, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


def taken_apart(folder, *, kernel=None, pads=(1, 1, 1, 1)):
    import aligner

    right = weight(4, 3, 3, 3)
    reference = convolution(folder / "a.onnx", right, (1, 1, 1, 1))
    candidate = convolution(folder / "b.onnx", right if kernel is None else kernel(right), pads)
    result = aligner.compare(reference, candidate, {"x": weight(1, 3, 8, 8)})
    assert json_schema.faults(result.to_json(), SCHEMA) == []
    return result.comparison


@requires_onnx
def test_settings_that_differ_are_marked(tmp_path):
    comparison = taken_apart(tmp_path, pads=(0, 0, 2, 2))
    (region,) = comparison.dissections
    assert comparison.pairs[region.pair] is comparison.first_divergence
    assert [node.name for node in region.candidate] == ["conv"]
    differing = [(one.name, one.reference, one.candidate) for one in region.settings if one.differs]
    assert differing == [("pads", "(1, 1), (1, 1)", "(0, 2), (0, 2)")]
    assert [(one.role, one.differs, one.pictures) for one in region.weights] == [
        ("kernel", False, None),
        ("bias", False, None),
    ]


@requires_onnx
def test_weights_that_differ_are_drawn(tmp_path):
    comparison = taken_apart(tmp_path, kernel=lambda right: right * np.float32(1.5))
    (region,) = comparison.dissections
    assert not any(one.differs for one in region.settings)
    kernel, bias = region.weights
    assert kernel.differs
    assert not bias.differs
    assert (kernel.reference.name, kernel.reference.shape) == ("w", (4, 3, 3, 3))
    assert kernel.relative == pytest.approx(0.5)
    assert kernel.correlation == pytest.approx(1)
    assert kernel.pictures.tiles == "rows: 4 outputs, columns: 3 inputs, kernels 3×3"


@requires_onnx
def test_what_is_aligned_is_not_taken_apart(tmp_path):
    assert taken_apart(tmp_path).dissections == ()


# ---- reports ---------------------------------------------------------------------------------------------------------


def drawn(many=1, size=(24, 24, 3, 3)):
    """A divergence whose culprits have pictures of noise, the worst that a file can hold."""
    comparison = thousand() if many > 1 else factory.diverged()
    regions = []
    for at in range(many):
        kernel = replace(factory.DISSECTION.weights[0], pictures=weight_pictures(weight(*size), weight(*size)))
        regions.append(replace(factory.DISSECTION, pair=5 + 16 * at, weights=(kernel, *factory.DISSECTION.weights[1:])))
    return replace(comparison, dissections=tuple(regions))


def test_round_trip():
    comparison = drawn()
    document = json.loads(json.dumps(to_document(comparison), allow_nan=False))
    assert json_schema.faults(document, SCHEMA) == []
    assert from_document(document) == comparison


def test_what_is_not_finite_is_null():
    kernel = replace(factory.DISSECTION.weights[0], max_abs=float("nan"), relative=float("inf"))
    document = to_document(factory.diverged(dissections=(replace(factory.DISSECTION, weights=(kernel,)),)))
    json.dumps(document, allow_nan=False)
    assert document["regions"][0]["weights"][0]["max_abs"] is None
    assert "off by" in to_html(from_document(document))


def test_broken_pictures_are_refused():
    document = to_document(drawn())
    document["regions"][0]["weights"][0]["pictures"]["candidate"]["pixels"] = "AAAA"
    with pytest.raises(OutputError):
        from_document(document)


def test_reports_of_older_versions_are_read():
    document = to_document(factory.diverged())
    del document["regions"]
    assert from_document(document) == factory.diverged(dissections=())


def test_a_thousand_pairs_with_every_picture_stay_below_five_megabytes(tmp_path):
    comparison = drawn(12)
    previews = []
    for at in range(16):
        tensor = weight(1, 16, 64, 64)
        previews.append(preview(tensor, tensor + weight(1, 16, 64, 64), pair=at, error="local"))
    write_html(replace(comparison, previews=tuple(previews)), tmp_path / "page.html")
    assert (tmp_path / "page.html").stat().st_size < 5_000_000


@requires_browser
def test_the_page_shows_what_differs(tmp_path):
    write_html(drawn(), tmp_path / "page.html")
    with browser(tmp_path / "profile") as page:
        page.get((tmp_path / "page.html").as_uri())
        wait(page, lambda driver: "≠ pads" in driver.find_element("css selector", "#detail").text)
        read = "return [...document.querySelectorAll('#detail .differs')].map(e => e.textContent)"
        differing = page.execute_script(read)
        assert differing[0] == "≠ pads(1, 1), (1, 1)(0, 2), (0, 2)"
        assert differing[1].startswith("≠ kernel 2×2×3×3 off by 1.03 at most")
        images = "return [...document.querySelectorAll('#detail .pictures img')].map(i => i.naturalWidth)"
        assert page.execute_script(images) == [95, 95, 95]
        assert "lateral.3.weight 2×2×3×3" in page.execute_script("return document.querySelector('#detail').textContent")
        assert complaints(page) == []
