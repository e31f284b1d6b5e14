"""What is fed when nothing is given: random data, or a recording's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from inputs_factory import F32, NCHW, NHWC, VAD, feeds, item, ramp, refused, side

from aligner.errors import InputError
from aligner.inputs import Preprocessing
from aligner.records.graph import InputSpec, Quantization


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


def test_sizes_of_one_name_and_sums_of_them():
    specs = (
        InputSpec("left", (None, None, 4), F32, axes=("batch", "one", "")),
        InputSpec("image", (None, 3, None, None), F32, axes=("batch", "", "h", "w")),
        InputSpec("shown", (None, None, None), F32, axes=("batch", "h", "w")),
        InputSpec("both", (None, None), F32, axes=("batch", "one + h + 1")),
        InputSpec("open", (None, None), F32, axes=("batch", "?")),
    )
    fed = feeds([], side(*specs), side(*(replace(spec, axes=()) for spec in specs))).candidate
    assert fed["shown"].shape == (1, 224, 224)
    assert (fed["both"].shape, fed["open"].shape) == ((1, 16 + 224 + 1), (1, 16))


@pytest.mark.parametrize("mask", ["past + tokens", "past + 1", "total", ""])
def test_a_mask_spans_the_caches_and_the_tokens(mask):
    cache = InputSpec("past_key_values.0.key", (None, 4, None, 8), F32, axes=("batch", "", "past", ""))
    encoder = replace(cache, name="past_key_values.0.encoder.key", axes=("batch", "", "long", ""))
    tokens = InputSpec("input_ids", (None, None), "int64", axes=("batch", "tokens"))
    rest = (
        InputSpec("attention_mask", (None, None), "int64", axes=("batch", mask)),
        InputSpec("position_ids", (None, None), "int64", axes=("batch", "tokens")),
        InputSpec("use_cache_branch", (1,), "bool"),
    )
    fed = feeds([], side(*rest, tokens, cache, encoder)).reference
    assert fed["past_key_values.0.key"].shape == (1, 4, 16, 8) and fed["past_key_values.0.key"].min() < 0
    assert fed["attention_mask"].shape == (1, 32) and fed["attention_mask"].all()
    assert fed["position_ids"].tolist() == [list(range(16, 32))] and fed["use_cache_branch"].all()
    given = {"input_ids": np.ones((1, 2), np.int64), cache.name: np.ones((1, 4, 3, 8), np.float32)}
    fed = feeds([item(array, name) for name, array in given.items()], side(tokens, cache, *rest)).reference
    assert fed["attention_mask"].shape == (1, 5) and fed["position_ids"].tolist() == [[3, 4]]


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
    assert "recorded with other data" in refused([item(stored + 1)], recording, side(NCHW)).what
    fed = feeds([item(stored + 1, "x", "candidate")], recording, side(NCHW))
    assert "different data" in fed.warnings[0] and not fed.correspondence
    np.testing.assert_array_equal(fed.reference["input"], stored)
    fed = feeds([item(stored + 1)], recording, recording)
    assert "was not fed" in fed.notes[0]
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
