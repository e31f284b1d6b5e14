"""Nothing above the adapters, and nothing in operations, spells a framework's word."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "aligner"

FREE = ("adapters", "testing", "demo", "cli", "report")
"""Rooms that may: adapters own the words; the others show them to people and decide nothing by them."""

FRAMEWORKS = frozenset({"onnx", "pytorch", "torchscript", "torch", "tflite", "tensorflow", "keras", "aten", "prim"})


NAMED = re.compile(
    r"(?<![.\w])(?:py)?torch(?!\w*=)|\bF\.[a-z]|\bnn\.|\btf\.|(?<![.\w])(?:keras|onnx|tflite|tensorflow|openvino|ncnn|aten|cudnn|tensorrt)"
    r"|model\.eval\b|state_dict|strict=|training=|--ort-",
    re.IGNORECASE,
)
"""A framework, or what only its users understand; suffixes of files (".onnx") are formats."""


def _named(tree: ast.AST) -> list[int]:
    """Lines with a text that names a framework or its interface: neither documentation nor the example of a cause."""
    apart = set[int]()
    for node in ast.walk(tree):
        told = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if told or (
            isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "example"
        ):
            apart |= {id(one) for one in ast.walk(node)}
    texts = [one for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return [one.lineno for one in texts if id(one) not in apart and NAMED.search(one.value)]


def _imported(tree: ast.AST) -> list[int]:
    """Lines that import a framework, or what one of its adapters keeps in its folder."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            inside = isinstance(node, ast.ImportFrom) and node.module != "aligner.adapters"
            names = [node.module or ""] if inside else [one.name for one in node.names]
            words = {word for name in names for word in name.split(".")} - {"recording_adapter"}  # of no framework
            if any(word in FRAMEWORKS or word.endswith("_adapter") or word.startswith("torch_") for word in words):
                found.append(node.lineno)
    return found


def _spelled(tree: ast.AST) -> list[int]:
    """Lines that compare an op's spelling or a framework's name with a text, or look for a part of one."""
    named = _names_of(tree)
    return [one.lineno for one in ast.walk(tree) if isinstance(one, (ast.Compare, ast.Call)) and _looks(one, named)]


def _names_of(tree: ast.AST) -> frozenset[str]:
    """The variables that are made from an op's spelling or a framework's name."""
    named: frozenset[str] = frozenset()
    assigned = [node for node in ast.walk(tree) if isinstance(node, (ast.Assign, ast.NamedExpr, ast.comprehension))]
    for node in assigned:
        made = node.iter if isinstance(node, ast.comprehension) else node.value
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if not isinstance(made, ast.Call) or isinstance(made.func, ast.Attribute):
            named |= {one.id for one in targets if isinstance(one, ast.Name) and _is_op(made, named)}
    return named


def _looks(node: ast.Compare | ast.Call, named: frozenset[str]) -> bool:
    if isinstance(node, ast.Call):
        parts = {"startswith", "endswith", "removeprefix", "removesuffix"}
        return isinstance(node.func, ast.Attribute) and node.func.attr in parts and _is_op(node.func.value, named)
    sides = [node.left, *node.comparators]
    spelled = any(isinstance(side, ast.Constant) and str(side.value).lower() in FRAMEWORKS for side in sides)
    texts = any(_is_text(side) for side in sides if not isinstance(node.ops[0], (ast.Is, ast.IsNot)))
    return spelled or (texts and any(_is_op(side, named) for side in sides))


def _is_op(node: ast.AST, named: frozenset[str]) -> bool:
    """Whether an expression is, or is made from, an op's spelling or a framework's name."""
    if isinstance(node, ast.JoinedStr):  # a sentence that names the op
        return False
    parts = list(ast.walk(node))
    variables = {part.id for part in parts if isinstance(part, ast.Name)}
    return bool(variables & named) or any(
        isinstance(part, ast.Attribute) and part.attr in {"op", "framework"} for part in parts
    )


def _is_text(node: ast.AST) -> bool:
    """A text, a set of texts, or the name of a constant that stands for one."""
    texts = any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node))
    return texts or (isinstance(node, ast.Name) and node.id.isupper())


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in FREE]


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("lines", [_spelled, _named, _imported])
def test_only_adapters_know_a_frameworks_words(lines):
    found = {str(path.relative_to(ROOT)): lines(_tree(path)) for path in FILES}
    guilty = {name: lines for name, lines in found.items() if lines}
    assert not guilty, "say it in the adapter"


@pytest.mark.parametrize(
    ("line", "spelled"),
    [
        ('node.op == "Slice"', True),
        ('"BATCH" in node.op.upper()', True),
        ('graph.framework in {"pytorch"}', True),
        ('node.op.endswith("_")', True),
        ('word = node.op.lower()\nfound = "layer" in word', True),
        ('node.kind == "slice"', False),
        ("left.op != right.op", False),
    ],
)
def test_what_counts(line, spelled):
    assert bool(_spelled(ast.parse(line))) is spelled


@pytest.mark.parametrize(
    ("line", "lines", "counts"),
    [
        ('"export with torch.cond"', _named, False),  # alone, a sentence is documentation
        ('x = "export with torch.cond"', _named, True),
        ('x = f"{name}: use F.pad"', _named, True),
        ('names = {"onnx": 1}', _named, True),
        ('example: ClassVar[str] = "a Keras GRU"', _named, False),
        ('suffix = ".onnx"', _named, False),
        ('x = "concatenated, of later data"', _named, False),
        ("from aligner.adapters.onnx_adapter import kinds", _imported, True),
        ("import torch.nn", _imported, True),
        ("from aligner.adapters.registry import wording", _imported, False),
    ],
)
def test_what_names_a_framework(line, lines, counts):
    assert bool(lines(ast.parse(line))) is counts
