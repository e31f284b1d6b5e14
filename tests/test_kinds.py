"""What a kind means is said in one place: every kind has a row, and no other file types in a set of kinds."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import aligner
from aligner.adapters import aten_kinds
from aligner.adapters.onnx_adapter import kinds as onnx
from aligner.adapters.openvino_adapter import kinds as openvino
from aligner.adapters.tensorflow_adapter import kinds as tensorflow
from aligner.adapters.tflite_adapter import kinds as tflite
from aligner.operations import kernels, kinds, operation  # noqa: F401  # kernels register themselves
from aligner.operations.call import kind_said
from aligner.operations.kinds import TRAITS, same_family

_ROOT = Path(aligner.__file__).parent
_ALLOWED = ("operations/kinds.py", "operations/kernels/")
"""The table; kernels, which say what they compute and not what a kind means."""
_LONGEST_TUPLE = 3
"""A cause names the kinds of its own settings; what is longer has a reason that other files share."""


@pytest.mark.parametrize(
    "kinds_of_words",
    [each.values() for each in (onnx._KINDS, openvino._KINDS, tflite._KINDS, aten_kinds._KINDS, tensorflow._OWN)],
    ids="onnx openvino tflite torch tensorflow".split(),
)
def test_every_kind_that_an_adapter_gives_its_words_has_a_row(kinds_of_words):
    assert not set(kinds_of_words) - set(TRAITS)


def _names_of(adapter):
    listed = importlib.import_module(f"aligner.adapters.{adapter}.kinds")._KINDS
    module = importlib.import_module(f"aligner.adapters.{adapter}.translation")
    return listed, getattr(module, "VOCABULARY", None) or module.WORDS


@pytest.mark.parametrize("adapter", "ncnn_adapter onnx_adapter openvino_adapter tflite_adapter".split())
def test_no_list_of_kinds_repeats_what_a_translation_says(adapter):
    listed, words = _names_of(adapter)
    assert not [word for word, kind in listed.items() if kind_said(words, word, "") == kind]


def test_no_list_of_pytorchs_words_repeats_what_a_translation_says():
    said = aten_kinds._translated()
    assert not [word for word, kind in aten_kinds._KINDS.items() if said.get(word) == kind]


def test_what_is_shown_as_another_kind_can_be_computed_and_has_no_row():
    assert kinds.SHOWN_AS.keys() <= operation._COMPUTERS.keys()
    assert not kinds.SHOWN_AS.keys() & TRAITS.keys()
    assert set(kinds.SHOWN_AS.values()) <= TRAITS.keys()


def _words(node):
    if isinstance(node, ast.Set | ast.Tuple | ast.List):
        return [e.value for e in node.elts if isinstance(e, ast.Constant)]
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "split"
    if is_call and isinstance(node.func.value, ast.Constant):
        return str(node.func.value.value).split()
    return []


def typed_in(source):
    """Lines that hold a set of kinds, or a long list of them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        words = [word for word in _words(node) if isinstance(word, str)]
        known = sum(word in TRAITS for word in words)
        least = 2 if isinstance(node, ast.Set) else _LONGEST_TUPLE + 1
        if known >= least and known >= 0.75 * len(words):
            found.append((node.lineno, words))
    return found


def test_no_set_of_kinds_is_typed_in_elsewhere():
    found = {
        f"{path.relative_to(_ROOT)}:{line}": words
        for path in sorted(_ROOT.rglob("*.py"))
        if not path.relative_to(_ROOT).as_posix().startswith(_ALLOWED)
        for line, words in typed_in(path.read_text())
    }
    assert not found, "derive these from the traits in operations/kinds.py"


@pytest.mark.parametrize(
    "source", ['{"add", "sub"}', 'frozenset({"conv", "matmul", "norm", "gemm"})', '("conv", "norm", "relu", "pad")']
)
def test_a_typed_in_set_is_seen(source):
    assert typed_in(source)


@pytest.mark.parametrize("source", ['{"axis", "shape"}', '("add",)', '{"Conv": "conv", "Add": "add"}'])
def test_words_of_other_things_are_not(source):
    assert not typed_in(source)


def test_what_the_sets_promise_of_each_other():
    assert kinds.LAYOUT <= kinds.MOVES_DATA
    assert kinds.VIEWS <= kinds.EXACT
    assert kinds.CONVOLUTIONS <= kinds.LINEAR <= kinds.PARAMETRIC
    assert kinds.CONVOLUTIONS <= kinds.STRIDED <= kinds.SPATIAL
    assert kinds.AFFINE <= kinds.BINARY <= kinds.ELEMENTWISE <= kinds.KEEPS_AXES
    assert kinds.DRAWS <= kinds.MAY_DRAW
    assert not kinds.SUMS_PRODUCTS & kinds.SUMS_AXIS
    assert not kinds.EXACT & (kinds.SUMS_PRODUCTS | kinds.SUMS_AXIS)


def test_families_are_classes_of_what_may_stand_for_each_other():
    assert same_family("conv", "matmul") and same_family("relu", "clip") and same_family("gather", "slice")
    assert not same_family("add", "mul") or "choice" in TRAITS["add"].families
    assert not same_family("conv", "relu") and same_family("unheard", "unheard") and not same_family("unheard", "conv")


def test_records_are_frozen():
    for path in (_ROOT / "records").glob("*.py"):
        made = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
        thawed = [one.name for one in made for by in one.decorator_list if _is_thawed(by)]
        assert not thawed, f"{path.name}: records are passed on by many, and changed by none"


def _is_thawed(decorator):
    said = ast.unparse(decorator)
    return said.startswith("dataclass") and "frozen=True" not in said
