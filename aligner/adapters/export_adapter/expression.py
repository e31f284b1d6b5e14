"""Sizes as an exported program writes them: they are Python, and PyTorch evaluates them."""

from __future__ import annotations

import ast
import re

_SYMBOL = re.compile(r"[a-z]{1,4}\d+|int_oo")
_FUNCTIONS = frozenset(
    "Symbol Integer Rational Float Add Mul Pow FloorDiv ModularIndexing Where PythonMod Mod CleanDiv CeilToInt "
    "FloorToInt CeilDiv FloatTrueDiv IntTrueDiv IsNonOverlappingAndDenseIndicator TruncToFloat TruncToInt RoundToInt "
    "RoundDecimal ToFloat Identity Max Min Eq Ne Equality Unequality LessThan StrictLessThan GreaterThan "
    "StrictGreaterThan And Or Not Abs floor ceiling".split()
)
_LONGEST, _LARGEST, _HIGHEST = 4096, 1 << 63, 8
_PARTS = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.keyword,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)


def is_size(text: str) -> bool:
    """Whether a text is arithmetic on symbols ("s0*8 + 1", "Max(1, s3//2)") that is no work to evaluate."""
    if len(text) > _LONGEST:
        return False
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(map(_is_part, nodes)) and sum(map(_is_power, nodes)) <= _HIGHEST and all(map(_is_small, nodes))


def _is_part(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return bool(_SYMBOL.fullmatch(node.id)) or node.id in _FUNCTIONS
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return bool(_SYMBOL.fullmatch(node.value))
        return isinstance(node.value, bool) or (isinstance(node.value, int | float) and abs(node.value) < _LARGEST)
    if isinstance(node, ast.Call):
        flags = all(key.arg and isinstance(key.value, ast.Constant) for key in node.keywords)
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS and flags
    return isinstance(node, _PARTS)


def _power(node: ast.AST) -> tuple[ast.expr, ast.expr] | None:
    """Base and exponent of ``a ** b`` and ``Pow(a, b)``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        return node.left, node.right
    named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Pow"
    return (node.args[0], node.args[1]) if named and len(node.args) == 2 else None  # type: ignore[attr-defined]


def _is_power(node: ast.AST) -> bool:
    return _power(node) is not None


def _is_small(node: ast.AST) -> bool:
    """No power, or one of something that is no power itself, by a small number."""
    parts = _power(node)
    if parts is None:
        return True
    base, exponent = parts
    if isinstance(exponent, ast.Call) and len(exponent.args) == 1:  # Integer(2)
        exponent = exponent.args[0]
    value = exponent.operand if isinstance(exponent, ast.UnaryOp) else exponent
    number = value.value if isinstance(value, ast.Constant) else None
    return not any(map(_is_power, ast.walk(base))) and isinstance(number, int) and number <= _HIGHEST
