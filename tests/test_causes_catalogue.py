"""The page of causes is made from them, and the command prints what it says."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from aligner.adapters.advice import advice_on, advice_on_all, settings_as_written
from aligner.adapters.registry import adapters, wording
from aligner.adapters.wording import Topic
from aligner.causes.catalogue import catalogue, text
from aligner.causes.cause import Cause
from aligner.cli.commands import cli

PAGE = Path(__file__).parent.parent / "docs" / "causes.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == text(), "python -m aligner.causes.catalogue > docs/causes.md"


def test_every_cause_says_what_it_is_and_what_helps():
    for one in catalogue():
        assert all(one.what) and all(one.shown) and one.fix and one.example


@pytest.mark.parametrize("identifier", ["attention-mask", "unknown"])
def test_a_cause_is_explained(identifier):
    result = CliRunner().invoke(cli, ["explain", identifier])
    assert result.exit_code == 0
    assert "what helps" in result.output


def test_without_a_name_all_are_listed():
    result = CliRunner().invoke(cli, ["explain"])
    assert "norm-epsilon" in result.output and "weights-not-loaded" in result.output


def test_a_cause_that_is_none_says_which_are_near():
    result = CliRunner().invoke(cli, ["explain", "norm-epsilom"])
    assert result.exit_code != 0
    assert "norm-epsilon" in result.exception.found


def test_what_is_advised_is_of_the_frameworks_at_hand():
    words = {one.name: wording(one.name) for one in adapters()}
    names = {one.name for one in words.values() if one is not None}
    for framework, own in words.items():
        said = [advice_on(topic, [framework]) for topic in get_args(Topic)]
        said.append(
            settings_as_written("conv", {"epsilon": 1e-5, "strides": (2, 2), "pads": ((0, 1), (0, 1))}, [framework])
        )
        assert not [text for text in said for other in names - {own.name if own else ""} if other in text]
        assert bool(said[-1]) == (own is not None)


def test_each_topic_is_asked_by_a_cause_and_answered_by_an_adapter():
    assert {kind.topic for kind in Cause.registry} == {None, *get_args(Topic)}
    assert all(advice_on_all(topic) for topic in get_args(Topic))


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("conv", {"dilations": (2, 2)}, "(PyTorch: dilation=2; ONNX: dilations = [2, 2])"),
        ("conv", {"pads": ((1, 1), (2, 2))}, "(PyTorch: padding=(1, 2); ONNX: pads = [1, 2, 1, 2])"),
        ("norm", {"epsilon": 1e-3}, "(PyTorch: eps=0.001; ONNX: epsilon = 0.001)"),
        ("resize", {"coordinates": "align_corners"}, "align_corners=True; ONNX: coordinate_transformation_mode"),
        ("leaky_relu", {"alpha": 0.1}, "(PyTorch: negative_slope=0.1; ONNX: alpha = 0.1)"),
        ("softmax", {"axis": 2}, "(PyTorch: dim=2; ONNX: axis = 2)"),
    ],
)
def test_settings_are_said_as_code_and_as_attributes(kind, settings, words):
    assert words in settings_as_written(kind, settings, ["pytorch", "onnx"])
