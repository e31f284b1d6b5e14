"""The script module or function that a TorchScript archive holds."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any

from aligner.adapters.target import is_unicode
from aligner.adapters.torch_file import OP_LIBRARIES, expect
from aligner.adapters.torchscript_adapter.code import check_archive
from aligner.adapters.torchscript_adapter.errors import load_error, unknown_namespace
from aligner.adapters.torchscript_adapter.taps import every_node
from aligner.errors import UnsupportedModelError

MARK = "aligner.json"
"""The extra file by which an instrumented archive is known."""


def load_script(path: Path, device: str = "cpu", *, trust: bool = False) -> Any:
    """The script module or function of an archive.

    Raises ModelNotFoundError, ModelFormatError, UntrustedFileError or UnsupportedModelError.
    """
    expect(path, "torchscript", "a TorchScript archive", "torch.jit.save")
    check_archive(path, trust=trust)
    try:
        return _loaded(path, device)
    except (RuntimeError, ValueError, OSError) as error:
        library = unknown_namespace(error)
        if library not in OP_LIBRARIES:
            raise load_error(error, path.name) from error
    try:
        importlib.import_module(library)
        return _loaded(path, device)
    except ImportError as error:
        raise UnsupportedModelError.of(
            f"{path.name} uses ops of {library}, which is not installed", error, f"pip install {library}"
        ) from error
    except (RuntimeError, ValueError, OSError) as error:
        raise load_error(error, path.name) from error


def _loaded(path: Path, device: str) -> Any:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather we exported anew
        marks = {MARK: ""}
        with path.open("rb") as file:  # by its name where native code can spell that: it maps the file then
            script = torch.jit.load(path if is_unicode(path) else file, map_location=device, _extra_files=marks)
    return as_it_was(script) if marks[MARK] else script


def as_it_was(script: Any) -> Any:
    """What an instrumented archive shows, as a function that returns what the model returned before.

    Its values get the names back under which they are shown: saving an archive renames them.
    """
    import torch

    graph = script._c._get_method("forward").graph.copy()
    both = next(iter(graph.outputs())).node()
    parts = list(both.inputs()) if both.kind() == "prim::TupleConstruct" else []
    shown = parts[-1].node() if len(parts) > 1 else both
    if shown.kind() != "prim::DictConstruct" or next(iter(graph.inputs())).uses():
        return script
    entries = list(shown.inputs())
    for node in every_node(graph):
        for value in node.outputs():
            if value.debugName().isdigit():  # a number of this archive, and no name that anything was shown under
                value.setDebugName(f"inner.{value.debugName()}")
    inputs = {value.debugName() for value in graph.inputs()}
    for key, value in zip(entries[::2], entries[1::2], strict=True):
        if key.node().kind() == "prim::Constant" and value.debugName() not in inputs:
            name = key.node().s("value")
            value.setDebugName(f"_{name}" if name.isdigit() else name)  # torch takes no number for a name
    graph.eraseOutput(0)
    for value in parts[:-1]:
        graph.registerOutput(value)
    both.destroy()
    shown.destroy()
    graph.eraseInput(0)
    return torch._C._create_function_from_graph("forward", graph)
