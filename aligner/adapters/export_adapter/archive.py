"""An archive of torch.export, read before PyTorch believes it.

Loading one would unpickle what it says to, evaluate its sizes as Python, look its operators up by name and make source
code of its names. All that is checked here; only with ``--trust`` is it not.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aligner.adapters.export_adapter.expression import is_size
from aligner.adapters.torch_archive import TorchArchive, check_opcodes, damaged, open_archive
from aligner.adapters.torch_operators import is_harmless
from aligner.errors import ModelError, UnsupportedModelError, UntrustedFileError

_MODELS, _WEIGHTS, _CONSTANTS, _SAMPLES = "models/", "data/weights/", "data/constants/", "data/sample_inputs/"
_COMPILED = "data/aotinductor/"
_NAME, _PATH = re.compile(r"\w*"), re.compile(r"(?!.*__)[\w.]*")
_PATHS = frozenset("parameter_name buffer_name tensor_constant_name custom_obj_name fqn path_name".split())
"""Keys of dotted names: weights, modules and members of the archive."""
_FREE = frozenset("metadata as_string as_strings as_float as_floats torch_version guards_code".split())
"""Keys of texts that stay texts: what is said of a node, arguments. Conditions on inputs are not evaluated here."""
_SPECS = frozenset({"in_spec", "out_spec"})
_HIGHER_ORDER = frozenset("cond wrap_with_set_grad_enabled wrap_with_autocast while_loop map_impl scan".split())
"""Operators that run a graph of the program."""
_PYTHON = frozenset(
    {f"_operator.{word}" for word in "eq ne le ge lt gt neg pos mul add sub floordiv mod pow truediv and_ or_".split()}
    | {f"_operator.{word}" for word in "lshift rshift getitem".split()}
    | {f"torch.sym_{word}" for word in "not int float ite max min sqrt".split()}
    | {"math.trunc", "math.ceil", "math.floor"}
)
"""What computes sizes."""
_NO_CODE = "if you trust its author, add --trust; or export it again with torch.export.save"


def check_archive(path: Path, *, trust: bool) -> str:
    """Look at everything in an archive that PyTorch would believe or run; returns the name of its program.

    Raises ModelFormatError, UnsupportedModelError, and UntrustedFileError where it is not trusted.
    """
    with open_archive(path) as archive:
        if archive.strays:
            raise damaged(path, f"{archive.strays[0]} beside the archive's folder")
        programs = [name for name in archive.members if name.startswith(_MODELS) and name.endswith(".json")]
        if not programs:
            raise _without_program(archive, trust=trust)
        name = _MODELS + "model.json" if _MODELS + "model.json" in programs else programs[0]
        if not trust:
            if any(member.startswith(_COMPILED) for member in archive.members):
                raise _untrusted(path, "a compiled library beside the program, which loading it would run")
            for program in programs:
                _check_program(path, _document(archive, program))
            _check_tensors(archive)
            for sample in [member for member in archive.members if member.startswith(_SAMPLES)]:
                _check_pickle(archive, sample)
        return name.removeprefix(_MODELS).removesuffix(".json")


def _without_program(archive: TorchArchive, *, trust: bool) -> ModelError:
    path = archive.path
    if any(name.startswith(_COMPILED) for name in archive.members):
        return UnsupportedModelError(
            f"{path.name} holds a compiled library (AOTInductor), whose inside cannot be seen",
            found="no exported program in it",
            hint="give the program that it was compiled from, saved with torch.export.save",
        )
    older = "an archive of torch.export before torch 2.8"
    hint = "load it with that version and save it again with torch.export.save"
    if not trust:
        return UntrustedFileError(f"{path.name} may execute code when it is loaded", found=older, hint=hint)
    return UnsupportedModelError(f"{path.name} has a layout that is not read", found=older, hint=hint)


def _document(archive: TorchArchive, member: str) -> Any:
    try:
        return json.loads(archive.read(member))
    except (ValueError, RecursionError) as error:
        raise damaged(archive.path, f"{member}: {error}") from error


def _check_program(path: Path, document: Any) -> None:
    for key, value in _texts(document, ""):
        if key in ("target", "as_operator"):
            _check_operator(path, value)
        elif key == "expr_str":
            if not is_size(value):
                raise _untrusted(path, f"a size that is more than arithmetic: {value[:60]!r}")
        elif key in _SPECS:
            _check_structure(path, value)
        elif not (_PATH if key in _PATHS else _NAME).fullmatch(value):
            raise _untrusted(path, f"{value[:60]!r} where a name should stand ({key})")


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """(key, text) of every text that PyTorch interprets, keys of dictionaries among them; "as_expr" sizes too."""
    todo = [(key, value)]
    while todo:
        key, value = todo.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, list):
            todo.extend((key, item) for item in value)
        elif isinstance(value, dict):
            for name, item in value.items():
                if key == "range_constraints":
                    yield "expr_str", name
                elif key != "treespec_namedtuple_fields":
                    yield "name", name
                if name not in _FREE:
                    todo.append((name, item))


def _check_operator(path: Path, target: str) -> None:
    parts = target.split(".")
    if target in _PYTHON:
        return
    if parts[:2] == ["torch", "ops"] and len(parts) in (4, 5) and all(map(str.isidentifier, parts[2:])):
        if parts[2] == "higher_order" and parts[3] in _HIGHER_ORDER and len(parts) == 4:
            return
        if parts[2] != "higher_order" and is_harmless(f"{parts[2]}::{parts[3]}"):
            return
    raise _untrusted(path, f"the operator {target[:80]}")


def _check_structure(path: Path, text: str) -> None:
    """How inputs and outputs are nested: its containers are made by functions that may import modules."""
    try:
        todo = [json.loads(text)[1]]
        while todo:
            spec = todo.pop()
            context = json.dumps(spec["context"])
            words = re.findall(r"[^\"'\[\]{},:\s\\]+", context)
            if "__enum__" in context or "defaultdict" in str(spec["type"]) or not all(map(_PATH.fullmatch, words)):
                raise _untrusted(path, f"inputs or outputs in a {spec['type']} of {context[:60]}")
            todo.extend(spec["children_spec"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise damaged(path, f"how its inputs are nested: {type(error).__name__}: {error}") from error


def _check_tensors(archive: TorchArchive) -> None:
    """Weights and constants are raw bytes, or pickles of tensors alone."""
    for folder in (_WEIGHTS, _CONSTANTS):
        for member in [name for name in archive.members if name.startswith(folder)]:
            if member.endswith("_config.json"):
                for name, entry in _entries(archive, member):
                    _check_entry(archive, folder, name, entry)
            elif member.endswith(".pt"):
                _check_pickle(archive, member)


def _entries(archive: TorchArchive, member: str) -> list[tuple[str, dict[str, Any]]]:
    config = _document(archive, member)
    try:
        return [(str(name), dict(entry)) for name, entry in config["config"].items()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(archive.path, f"{member}: {type(error).__name__}: {error}") from error


def _check_entry(archive: TorchArchive, folder: str, name: str, entry: dict[str, Any]) -> None:
    place = str(entry.get("path_name"))
    member = folder + place
    if not _PATH.fullmatch(name):
        raise _untrusted(archive.path, f"{name[:60]!r} as the name of a weight")
    if not re.fullmatch(r"\w+", place) or member not in archive.members:
        raise damaged(archive.path, f"{name} is in {place}, which is not there")
    if place.startswith(("custom_obj_", "opaque_obj_")):
        raise _untrusted(archive.path, f"{name} is an object, which is unpickled")
    if entry.get("use_pickle"):
        _check_pickle(archive, member)
        return
    try:
        sizes: list[int] = [int(size["as_int"]) for size in entry["tensor_meta"]["sizes"]]
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(archive.path, f"{name} has no sizes that are whole numbers") from error
    if archive.members[member].file_size == 0 and all(sizes):
        raise damaged(archive.path, f"{name} of shape {sizes} has no bytes")


def _check_pickle(archive: TorchArchive, member: str) -> None:
    """PyTorch unpickles it without limits where it cannot within limits: so only what can may pass."""
    import torch

    content = archive.read(member)
    if content.startswith(b"\x80"):
        check_opcodes(archive.path, member, content)
    try:
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:
        raise _untrusted(archive.path, f"{member}: {str(error).strip().splitlines()[0][:160]}") from error


def _untrusted(path: Path, found: str) -> UntrustedFileError:
    return UntrustedFileError(f"{path.name} holds more than a program of tensors", found=found, hint=_NO_CODE)
