"""The code of an archive, read before TorchScript compiles and runs it: which operators it may name."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from aligner.adapters.torch_archive import TorchArchive, check_storages, damaged, open_archive
from aligner.adapters.torch_operators import PACKED_WEIGHTS, is_harmless
from aligner.adapters.torchscript_adapter.unfolding import check_unfolding
from aligner.errors import ModelFormatError, UntrustedFileError, listing

_PLAIN = re.compile(r"[\n -~]*")
_AT_LOAD = frozenset("eq ne lt gt __is__ __isnot__ RaiseException len".split())
"""Operators that ``__setstate__`` may name, beside the packing of quantised weights."""


def check_archive(path: Path, *, trust: bool) -> None:
    """Look at everything in an archive that PyTorch would believe or run; its code only where it is not trusted.

    Raises ModelFormatError and UntrustedFileError.
    """
    with open_archive(path) as archive:
        check_storages(archive)
        _check_complete(archive)
        if not trust:
            check_code(archive)


def _check_complete(archive: TorchArchive) -> None:
    """Some constants are saved without what they hold; PyTorch cannot load such a file either."""
    if any("ops.prim.ConstantMKLDNNTensor(" in text for _, text in archive.sources()):
        raise ModelFormatError(
            f"{archive.path.name} was saved after torch.jit.optimize_for_inference, without oneDNN's weights",
            found="prim::ConstantMKLDNNTensor, which PyTorch saves and cannot load",
            hint="save what torch.jit.freeze gives, or compare the optimised module in Python, without saving it",
        )


def check_code(archive: TorchArchive) -> None:
    """Let through what computes on tensors.

    Raises UntrustedFileError for code that reads, writes or calls anything else, or works as it is loaded, and
    ModelFormatError where the code is none.
    """
    checked: set[str] = set()
    sources = list(archive.sources())
    trees = [_parsed(archive.path, member, text) for member, text in sources]
    for tree in trees:
        for name in set(_operators(archive.path, tree)) - checked:
            if not is_harmless(name):
                raise _untrusted(archive.path, name)
            checked.add(name)
    places = (member.removeprefix("code/").removesuffix(".py").replace("/", ".") for member, _ in sources)
    check_unfolding(archive.path, zip(places, trees, strict=True))
    if any("__setstate__" in text for _, text in sources):
        _check_load_hooks(archive.path, trees)


def _parsed(path: Path, member: str, text: str) -> ast.Module:
    """The syntax tree; texts that Python and TorchScript might take apart differently are refused."""
    if not _PLAIN.fullmatch(text):
        raise damaged(path, f"{member} holds characters that TorchScript does not write")
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise damaged(path, f"{member} is not TorchScript ({error})") from error


def _operators(path: Path, tree: ast.Module) -> Iterator[str]:
    """Every name by which the code may reach an operator: "aten::relu" (also of methods), "quantized::linear"."""
    inside: set[int] = set()  # parts of what a node above has answered for: parents come before their children
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.JoinedStr)):
            raise _untrusted(path, ast.unparse(node)[:80])
        if id(node) in inside:
            continue
        if isinstance(node, ast.Attribute) and (chain := _chain(node)):
            inside.update(map(id, ast.walk(node)))
            yield from _of_chain(path, chain)
        elif isinstance(node, ast.Attribute):
            yield from _of_method(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            inside.add(id(node.func))
            yield from _of_getattr(path, node) if node.func.id == "getattr" else _of_method(node.func.id)
        elif isinstance(node, ast.Name) and node.id in ("ops", "getattr"):
            raise _untrusted(path, f"{node.id!r} by itself")


def _chain(node: ast.expr) -> list[str]:
    """["ops", "quantized", "linear"]; [] where it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def _of_chain(path: Path, chain: list[str]) -> Iterator[str]:
    if chain[0] == "ops":
        if len(chain) < 3:
            raise _untrusted(path, ".".join(chain))
        yield f"{chain[1]}::{chain[2]}"
        chain = chain[2:]
    elif chain[0] == "__torch__":
        if "classes" in chain and not ".".join(chain).startswith("__torch__." + PACKED_WEIGHTS):
            raise _untrusted(path, ".".join(chain))
        return
    for name in chain[1:]:
        yield from _of_method(name)


def _of_getattr(path: Path, call: ast.Call) -> Iterator[str]:
    named = call.args[1] if len(call.args) > 1 else None
    if not isinstance(named, ast.Constant) or not isinstance(named.value, str):
        raise _untrusted(path, ast.unparse(call)[:80])
    if isinstance(call.args[0], ast.Name) and call.args[0].id == "ops":
        raise _untrusted(path, ast.unparse(call)[:80])
    yield from _of_method(named.value)


def _of_method(name: str) -> tuple[str, str]:
    return f"aten::{name}", f"prim::{name}"


def _check_load_hooks(path: Path, trees: list[ast.Module]) -> None:
    """What ``__setstate__`` can reach runs before anything is asked for: it may unpack and pack weights, no more."""
    functions: dict[str, list[ast.FunctionDef]] = {}
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        if isinstance(node, ast.FunctionDef):
            functions.setdefault(node.name, []).append(node)
    todo, reached = ["__setstate__"], set[str]()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        for function in functions.get(name, ()):
            for node in ast.walk(function):
                if isinstance(node, (ast.While, ast.For, ast.ListComp, ast.DictComp)):
                    raise _untrusted(path, f"a loop in {name}, which runs as the file is loaded")
                if isinstance(node, ast.Call):
                    todo.append(_called_at_load(path, name, node))


def _called_at_load(path: Path, where: str, call: ast.Call) -> str:
    chain = _chain(call.func)
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    packs = chain[:2] == ["ops", "quantized"] and "prepack" in name
    if chain[:1] in (["torch"], ["ops"]) and not packs and name not in _AT_LOAD:
        raise _untrusted(path, f"{'.'.join(chain)} in {where}, which runs as the file is loaded")
    return name


def _untrusted(path: Path, found: str) -> UntrustedFileError:
    return UntrustedFileError(
        f"{path.name} holds code that does more than compute",
        found=listing([found]),
        hint="if you trust its author, add --trust; a model for inference needs neither files nor work at loading",
    )
