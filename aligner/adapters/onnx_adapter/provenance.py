"""Where an exported node comes from: module path and source line, from the exporter's metadata or the node's name."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')
_TORCH = re.compile(
    r"[/\\](site-packages|dist-packages)[/\\]torch[/\\]|[/\\]torch[/\\](nn|_dynamo|onnx|fx|export)[/\\]"
)
_PACKAGES = re.compile(r".*[/\\](?:site-packages|dist-packages)[/\\]")
_NUMBER = re.compile(r"_\d+$")


def scope_of(node: Any) -> str | None:
    """The module path, "layer1.0.conv1"; None where nothing says it, "" is never returned."""
    metadata = _metadata(node)
    scopes = _strings(metadata["pkg.torch.onnx.name_scopes"]) if "pkg.torch.onnx.name_scopes" in metadata else []
    if scopes:
        modules = [scope for scope in scopes[:-1] if scope]  # the last one is the operator itself
        return modules[-1] if modules else None
    return _scope_in_name(node.name, node.op_type)


def source_of(node: Any) -> str | None:
    """ "file.py:12" of the innermost frame that is not torch's own."""
    trace = _metadata(node).get("pkg.torch.onnx.stack_trace")
    frames = [(m["file"], m["line"]) for m in _FRAME.finditer(trace)] if trace else []
    own = [frame for frame in frames if not _TORCH.search(frame[0])] or frames
    if not own:
        return None
    file, line = own[-1]
    package = _PACKAGES.match(file)
    label = file[package.end() :].replace("\\", "/") if package else re.split(r"[/\\]", file)[-1]
    return f"{label}:{line}"


def _metadata(node: Any) -> Mapping[str, str]:
    properties = getattr(node, "metadata_props", ())  # onnx >= 1.16
    return {entry.key: entry.value for entry in properties} if properties else {}


def _strings(text: str) -> list[str]:
    try:
        value = ast.literal_eval(text) if text else []
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else []


def _scope_in_name(name: str, op_type: str) -> str | None:
    """ "/layer1/layer1.0/conv1/Conv_1" is how torch's older exporter writes "layer1.0.conv1"."""
    if not name.startswith("/"):
        return None
    *modules, operator = name[1:].split("/")
    if _NUMBER.sub("", operator) != op_type:
        return None
    path: list[str] = []
    for module in modules:
        if path and module.startswith(f"{path[-1]}."):  # children of a Sequential repeat their parent's name
            path[-1] = module
        elif module:
            path.append(module)
    return ".".join(path) or None
