"""Nothing above the adapters, and nothing in operations, spells a framework's word."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "aligner"

FREE = ("adapters", "testing", "demo", "cli", "report")
"""Rooms that may: adapters own the words; the others show them to people and decide nothing by them."""

FRAMEWORKS = frozenset({"onnx", "pytorch", "torchscript", "torch", "tflite", "tensorflow", "keras", "aten", "prim"})

EXCEPTIONS: dict[str, str] = {
    "alignment/element_order.py": "the transposition of a matrix that no attribute describes",
    "api/probing.py": "a recording cannot be probed",
    "api/weight_places.py": "blocked kernels of one runtime",
    "causes/families/tracing.py": "in-place ops and traced frameworks",
    "execution/lockstep.py": "loops, whose values come again",
    "judgement/borderline.py": "blocked kernels of one runtime",
    "judgement/contradiction.py": "steps that no kind of their own names",
    "judgement/tolerance.py": "scales computed as the model runs; rounding",
}
"""Files that still look, and at what; the list only shrinks."""


def _spelled(tree: ast.AST) -> list[int]:
    """Lines that compare an op's spelling or a framework's name with a text, or look for a part of one."""
    return [node.lineno for node in ast.walk(tree) if isinstance(node, (ast.Compare, ast.Call)) and _looks(node)]


def _looks(node: ast.Compare | ast.Call) -> bool:
    if isinstance(node, ast.Call):
        parts = {"startswith", "endswith", "removeprefix", "removesuffix"}
        return isinstance(node.func, ast.Attribute) and node.func.attr in parts and _is_op(node.func.value)
    sides = [node.left, *node.comparators]
    named = any(isinstance(side, ast.Constant) and str(side.value).lower() in FRAMEWORKS for side in sides)
    texts = any(_is_text(side) for side in sides if not isinstance(node.ops[0], (ast.Is, ast.IsNot)))
    return named or (texts and any(map(_is_op, sides)))


def _is_op(node: ast.AST) -> bool:
    """Whether an expression is, or is made from, an op's spelling or a framework's name."""
    if isinstance(node, ast.JoinedStr):  # a sentence that names the op
        return False
    return any(isinstance(part, ast.Attribute) and part.attr in {"op", "framework"} for part in ast.walk(node))


def _is_text(node: ast.AST) -> bool:
    """A text, a set of texts, or the name of a constant that stands for one."""
    texts = any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in ast.walk(node))
    return texts or (isinstance(node, ast.Name) and node.id.isupper())


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in FREE]


def test_only_adapters_spell_a_frameworks_word():
    found = {str(path.relative_to(ROOT)): _spelled(ast.parse(path.read_text())) for path in FILES}
    guilty = {name: lines for name, lines in found.items() if lines}
    assert not guilty.keys() - EXCEPTIONS.keys(), f"translate it in the adapter: {guilty.keys() - EXCEPTIONS.keys()}"
    assert not EXCEPTIONS.keys() - guilty.keys(), f"no exceptions any more: {EXCEPTIONS.keys() - guilty.keys()}"


@pytest.mark.parametrize(
    ("line", "spelled"),
    [
        ('node.op == "Slice"', True),
        ('"BATCH" in node.op.upper()', True),
        ('graph.framework in {"pytorch"}', True),
        ('node.op.endswith("_")', True),
        ('node.kind == "slice"', False),
        ("left.op != right.op", False),
    ],
)
def test_what_counts(line, spelled):
    assert bool(_spelled(ast.parse(line))) is spelled
