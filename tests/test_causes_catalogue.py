"""The page of causes is made from them, and the command prints what it says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from aligner.causes.catalogue import catalogue, text
from aligner.causes.cause import Cause
from aligner.causes.wording import FAMILIES, in_words_of, settings_in_words_of
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


CALLS = re.compile(r"torch\.|\bF\.[a-z]|\bnn\.|model\.eval|state_dict|strict=|\btf\.|[Kk]eras|onnxruntime|--ort-")
"""Words that only one framework understands."""
CAUSES = Path(__file__).parent.parent / "aligner" / "causes"


def _texts(path):
    """Sentences of a file of causes: neither documentation, nor examples, nor what is told by framework."""
    apart = {"spelled", "example", "_PLAIN", "_AS_A_CHOICE", "_KEPT_ARM_OF"}
    left_out = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(one, ast.Name) and one.id in apart for one in targets):
                left_out |= {id(each) for each in ast.walk(node)}
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            left_out.add(id(node.value))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


@pytest.mark.parametrize("path", sorted(CAUSES.rglob("*.py")), ids=lambda path: path.stem)
def test_no_advice_names_an_api_but_that_of_a_framework_at_hand(path):
    if path.stem != "wording":
        assert not [words for words in _texts(path) if CALLS.search(words)]


@pytest.mark.parametrize("framework", [*FAMILIES, "tflite", "openvino", "ncnn", "recording"])
def test_what_is_spelled_is_of_the_frameworks_at_hand(framework):
    others = {"PyTorch", "Keras", "ONNX"} - {FAMILIES.get(framework)}
    settings = {"epsilon": 1e-5, "strides": (2, 2), "training": False, "pads": ((0, 1), (0, 1))}
    said = [in_words_of([framework], cause.spelled) for cause in Cause.registry]
    said.append(settings_in_words_of([framework], "conv", settings))
    assert not [words for words in said if any(other in words for other in others)]
    assert bool(said[-1]) == (framework in FAMILIES)


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
    assert words in settings_in_words_of(["pytorch", "onnx"], kind, settings)
