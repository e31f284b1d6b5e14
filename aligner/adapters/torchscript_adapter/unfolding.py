"""How many calls a script unfolds to, counted in its source: PyTorch inlines all before anything is looked at."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path

from aligner.errors import UntrustedFileError
from aligner.records.dataclass import dataclass

_MOST = 1 << 18
"""Calls, as many as ONNX functions may unfold to; exporters' largest models have some ten thousand."""


def check_unfolding(path: Path, trees: Iterable[tuple[str, ast.Module]]) -> None:
    """Methods that call methods may double their work at each level. Raises UntrustedFileError beyond what models do.

    ``trees``: a dotted module ("__torch__.torch.nn") and what stands in it.
    """
    program = _Program()
    for place, tree in trees:
        program.add(place, tree)
    try:
        largest = max(map(program.size, program.functions), default=0)
    except RecursionError:
        largest = _MOST + 1
    if largest > _MOST:
        raise UntrustedFileError(
            f"{path.name} unfolds to more than {_MOST:,} calls",
            found="methods that call each other more than once, level by level",
            hint="if you trust its author, add --trust; or trace the module, which writes each call once",
        )


@dataclass(frozen=True, slots=True)
class _Function:
    body: ast.FunctionDef
    owner: str | None


@dataclass
class _Program:
    functions: dict[str, _Function] = field(default_factory=dict)
    """By qualified name; a method's is that of its class and its own."""
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)
    """A class and its attribute → the attribute's class, as it is written."""
    by_name: dict[str, list[str]] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)

    def add(self, place: str, tree: ast.Module) -> None:
        """Take in the functions and classes of a member of the archive."""
        for item in tree.body:
            if isinstance(item, ast.FunctionDef):
                self._add_function(f"{place}.{item.name}", item, None)
            elif isinstance(item, ast.ClassDef):
                owner = f"{place}.{item.name}"
                for part in item.body:
                    if isinstance(part, ast.FunctionDef):
                        self._add_function(f"{owner}.{part.name}", part, owner)
                    elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                        self.attributes[owner, part.target.id] = ast.unparse(part.annotation)
                    elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Subscript):
                        name = part.targets[0].slice  # __annotations__["0"] = …: a name that is no identifier
                        if isinstance(name, ast.Constant):
                            self.attributes[owner, str(name.value)] = ast.unparse(part.value)

    def _add_function(self, name: str, body: ast.FunctionDef, owner: str | None) -> None:
        self.functions[name] = _Function(body, owner)
        self.by_name.setdefault(body.name, []).append(name)

    def size(self, name: str) -> int:
        """Calls in a function, and in what it calls."""
        if name in self.sizes or name in self.open:  # TorchScript has no recursion
            return self.sizes.get(name, 0)
        self.open.add(name)
        function = self.functions[name]
        known: dict[str, str] = {"self": function.owner} if function.owner else {}
        total = 0
        for node in _in_order(function.body):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                known[node.targets[0].id] = self._class_of(node.value, known) or ""
            elif isinstance(node, ast.Call):
                total += 1 + max(map(self.size, self._called(node.func, known)), default=0)
        self.open.discard(name)
        self.sizes[name] = total
        return total

    def _class_of(self, value: ast.expr, known: dict[str, str]) -> str | None:
        if isinstance(value, ast.Name):
            return known.get(value.id)
        if isinstance(value, ast.Attribute):
            owner = self._class_of(value.value, known)
            return self.attributes.get((owner, value.attr)) if owner else None
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "getattr" and len(value.args) == 2:
            owner, name = self._class_of(value.args[0], known), value.args[1]
            return self.attributes.get((owner, str(name.value))) if owner and isinstance(name, ast.Constant) else None
        return None

    def _called(self, called: ast.expr, known: dict[str, str]) -> list[str]:
        """The function meant; where the source does not say whose method it is, all of that name."""
        if not isinstance(called, ast.Attribute):
            return []
        written = ast.unparse(called)
        if written in self.functions:
            return [written]
        method = f"{self._class_of(called.value, known)}.{called.attr}"
        return [method] if method in self.functions else self.by_name.get(called.attr, [])


def _in_order(body: ast.AST) -> Iterable[ast.AST]:
    """Depth first, as it is written: what is assigned is known before it is called."""
    for child in ast.iter_child_nodes(body):
        yield from _in_order(child)
        yield child
