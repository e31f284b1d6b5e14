"""What an operation needs is in several places: whoever forgets one is told here which."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import aligner
import aligner.operations.kernels
from aligner.adapters import registry
from aligner.adapters.aten_kinds import kind_of
from aligner.adapters.dumps import formats
from aligner.adapters.onnx_adapter.composites import EXPANDED
from aligner.adapters.onnx_adapter.kinds import _KINDS
from aligner.adapters.onnx_adapter.kinds import kind_of as onnx_kind
from aligner.adapters.onnx_adapter.translation import VOCABULARY, activation, arithmetic
from aligner.cli.report_options import FORMATS
from aligner.operations import operation as operations
from aligner.operations import settings
from aligner.operations.call import kind_said, of_kind
from aligner.operations.forms import simple, spelled
from aligner.operations.settings import Settings, family_of
from aligner.operations.settings.base import told_kinds

ROOT = Path(aligner.__file__).parent
PAGE = ROOT.parent / "docs" / "operations.md"
TRANSLATIONS = [
    *sorted((ROOT / "operations").glob("*forms.py")),
    *sorted((ROOT / "adapters" / "aten_translation").glob("*.py")),
    *sorted((ROOT / "adapters").glob("*/translation/*.py")),
]
ROWS = {"Operation", "simple", "with_constants"}
TABLES = {"NAMED", "BINARY", "FUNCTIONS", "OF_TWO", "OTHERS"}
"""Word → kind of what is told nothing."""


def made(source):
    """Every ``Operation("kind", Family(…) …)`` in a file, or row of a table that makes one: line, kind, family.

    The family is None where it is not spelled there.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ROWS and node.args:
            kind, *told = node.args
            calls = [one.func.id for one in told if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)]
            family = next(iter(calls), None)
            if isinstance(kind, ast.Constant):
                yield node.lineno, kind.value, family
        elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").strip("_") in TABLES:
            kinds = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
            for kind in kinds:
                if isinstance(kind, ast.Constant):
                    yield kind.lineno, kind.value, None
                elif isinstance(kind, ast.Call) and getattr(kind.func, "id", "") == "spelled":
                    yield from ((kind.lineno, word, None) for word in spelled(kind.args[0].value).values())


@pytest.mark.parametrize("path", TRANSLATIONS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_adapters_translate_into_can_be_computed(path):
    for line, kind, name in made(path.read_text()):
        assert kind in operations._COMPUTERS, f"{path}:{line}: no kernel in operations/kernels computes {kind}"
        family = getattr(settings, name or "", None)
        if isinstance(family, type) and issubclass(family, Settings):
            assert issubclass(family, family_of(kind)), f"{path}:{line}: {kind} is told by another family than {name}"


def test_the_page_of_operations_names_every_kind_that_is_told_something():
    page = PAGE.read_text()
    missing = [kind for kind in sorted(told_kinds()) if f"`{kind}`" not in page]
    assert not missing, f"describe in docs/operations.md: {missing}"


def test_every_kind_that_is_told_something_is_made_by_an_adapter():
    source = "".join(path.read_text() for path in TRANSLATIONS)
    assert not [kind for kind in sorted(told_kinds()) if f'"{kind}"' not in source], "no adapter translates into these"


def test_a_translation_says_no_kind_without_a_row():
    with pytest.raises(TypeError, match="unheard_of has no row"):
        of_kind("unheard_of")
    assert kind_said({"Word": of_kind("softmax")(simple("unheard_of"))}, "Word", "other") == "softmax"


def test_a_forgotten_kernel_is_seen():
    assert list(made('Operation("unheard_of", Softmax(axis=1), ())')) == [(1, "unheard_of", "Softmax")]
    assert list(made('_NAMED = {"Unheard": "unheard_of"}')) == [(1, "unheard_of", None)]


def test_a_word_that_is_translated_by_a_table_has_a_kind():
    for table in (activation.NAMED, arithmetic.BINARY, arithmetic.COMPARED, arithmetic.REDUCTIONS):
        lost = [word for word in table if onnx_kind(word.rpartition("::")[2], word.rpartition("::")[0]) == "other"]
        assert not lost, f"give these a kind in adapters/onnx_adapter/kinds.py: {lost}"


def test_a_word_that_no_list_of_kinds_has_is_of_the_kind_that_its_translation_says(monkeypatch):
    monkeypatch.setitem(VOCABULARY, "Unheard", simple("softmax"))
    monkeypatch.setitem(VOCABULARY, "Unkind", simple("unheard_of"))
    assert [onnx_kind(word) for word in ("Unheard", "Unkind", "Untranslated")] == ["softmax", "other", "other"]


def test_an_onnx_operator_with_a_kind_is_translated_or_said_to_be_opaque():
    translated = {word.rpartition("::")[2] for word in VOCABULARY} | EXPANDED
    section = PAGE.read_text().partition("these are opaque")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", section)) == _KINDS.keys() - translated


@pytest.mark.parametrize(
    ("word", "kind"),
    [("aten::numpy_T", "transpose"), ("aten::t", "transpose"), ("pixel_unshuffle", "depth_to_space")],
)
def test_words_for_what_another_word_means_have_its_kind(word, kind):
    assert kind_of(word) == kind


def test_every_file_that_reads_a_dump_is_among_the_formats():
    reading = {
        path.stem for path in (ROOT / "adapters" / "dumps").glob("*.py") if "\ndef recognises(" in path.read_text()
    }
    assert reading == {*formats._FORMATS, *formats._UNSAID}


def test_every_file_that_writes_a_comparison_has_an_option():
    writers = {
        (path.stem, node.name)
        for path in (ROOT / "report").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and [one.arg for one in node.args.args[:2]] == ["comparison", "target"]
    }
    own_option = {("json_document", "write_json")}
    assert writers - own_option == {(form.module, form.writer) for form in FORMATS.values()}


@pytest.mark.parametrize("adapter", [value.rpartition(":")[2] for value in registry._BUILT_IN.values()])
def test_every_adapter_passes_the_conformance_suite(adapter):
    texts = [path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")]
    assert any(adapter in text and "AdapterConformance" in text for text in texts), "give it a suite of ten lines"
