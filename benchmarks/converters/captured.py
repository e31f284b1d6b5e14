"""What a reference of any form computes: every tensor of it, and which node makes it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.converters.graph import Array

if TYPE_CHECKING:
    from aligner.records.graph import Node


def captured(reference: Any, inputs: Mapping[str, Array] | Sequence[Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """Every tensor of a file's path or of a module, and the node that makes it, by the name that a report gives it."""
    values, nodes = recorded(reference, inputs)
    return values, {out: node.name for out, node in nodes.items()}


def recorded(reference: Any, inputs: Mapping[str, Array] | Sequence[Array]) -> tuple[dict[str, Array], dict[str, Node]]:
    """The same with the whole node."""
    import aligner
    from aligner.adapters.base import OpenOptions
    from aligner.execution.opening import open_side

    with tempfile.TemporaryDirectory(prefix="captured") as folder:
        path = Path(folder) / "run.npz"
        aligner.capture(reference, path, inputs)
        graph = open_side("model", str(path), OpenOptions(), 0).graph
        with np.load(path) as file:
            named = {name.lstrip("/"): name for name in graph.values}  # a member of a zip file starts with no slash
            values = {named.get(name, name): file[name] for name in file.files if not name.startswith("__")}
    return values, {out: node for node in graph.nodes for out in node.outputs}
