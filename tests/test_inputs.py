"""Inputs: which value goes to which input of which side, or is refused in three parts."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from inputs_factory import F32, NCHW, NHWC, TWO, VAD, feeds, item, picture, ramp, refused, side
from marks import requires_image

from aligner.errors import InputError
from aligner.inputs import parse_input
from aligner.records.graph import InputSpec


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


def test_an_input_for_any_number_is_as_many_as_the_other_side_has():
    many = side(InputSpec("tensors", variadic=True))
    given = [item(ramp(2)), item(ramp(3))]
    assert feeds(given, many, side(*TWO)).reference.keys() == {"tensors.0", "tensors.1"}
    assert feeds(given, side(*TWO), many).candidate.keys() == {"tensors.0", "tensors.1"}
    assert (
        feeds(given, many, many).reference.keys() == feeds(given, many).reference.keys() == {"tensors.0", "tensors.1"}
    )
    assert feeds([item(ramp(2), "a"), item(ramp(3), "b")], many, side(*TWO)).reference["tensors.1"].shape == (3,)


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
