"""What a right answer is, written down when the fault is planted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from benchmarks.faults.onnx_model import PASSING, Node, OnnxModel

Blame = Literal["node", "input", "outputs", "nobody"]
_SINGLE = frozenset(
    """Linear LayerNorm GroupNorm InstanceNorm2d BatchNorm2d GELU GELUActivation SiLU Softplus Hardswish Hardsigmoid
    Embedding Conv1d Conv2d ConvTranspose2d PReLU Mish""".split()
)
"""Modules that are one operation in torch and may be several in a file."""


@dataclass(frozen=True, slots=True)
class Truth:
    """``exact`` and ``near`` are value names of the candidate, ``scopes`` module paths ("layer1.conv" or
    "layer1.conv:mul" for one kind of operation there). ``second`` is the other fault's ``exact`` where two
    were planted. ``random``: the candidate disagrees with itself, which may be answered instead of a divergence. Empty
    ``causes`` mean that the cause is not scored.
    """

    blame: Blame
    exact: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    near_scopes: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    second: tuple[str, ...] = ()
    random: bool = False
    planted: str = ""


def module_path(node: Node) -> str | None:
    """The module a node was exported from, by the exporter's metadata or the older exporter's node names."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [scope for scope in re.findall(r"'([^']*)'", entry.value)[:-1] if scope]
            return scopes[-1] if scopes else None
    if not node.name.startswith("/"):
        return None
    path: list[str] = []
    for part in node.name[1:].split("/")[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path) or None


def region(model: OnnxModel, nodes: Iterable[Node], modules: dict[str, str], *, extend: bool) -> tuple[str, ...]:
    """The outputs of the guilty nodes, and the ends under which the same operation may be known.

    The same tensor cast or quantised counts; with ``extend``, so does the end of a module that is one operation on the
    other side (``modules``: path → class), and a norm that the other side may have folded into the guilty convolution.
    """
    names: dict[str, None] = {}
    for node in _until_computed(model, nodes):
        names.update(dict.fromkeys(node.output))
        while True:
            follower = model.sole_consumer(node.output[0])
            if follower is None or not _same(node, follower, modules, extend):
                break
            names.update(dict.fromkeys(follower.output))
            node = follower
    return tuple(names)


def _until_computed(model: OnnxModel, nodes: Iterable[Node]) -> list[Node]:
    """A guilty node that does not depend on the inputs shows where it meets what does."""
    found = list(nodes)
    for node in found:
        if not any(model.computed(name) for name in node.output):
            found += [reader for reader in model.readers(node.output[0]) if reader not in found]
    return found


def _same(node: Node, follower: Node, modules: dict[str, str], extend: bool) -> bool:
    if follower.op_type in PASSING:
        return True
    if not extend:
        return False
    if node.op_type in {"Conv", "ConvTranspose", "Gemm"} and follower.op_type == "BatchNormalization":
        return True
    path = module_path(node)
    return path is not None and path == module_path(follower) and modules.get(path) in _SINGLE


def neighbours(model: OnnxModel, names: Iterable[str]) -> tuple[str, ...]:
    """The values one node before and after; the same tensor in other clothes is no step."""
    given = tuple(names)
    found: dict[str, None] = {}
    for name in given:
        node = model.producer(name)
        for source in node.input if node is not None else ():
            found.update(dict.fromkeys(_upwards(model, source)))
        for reader in model.consumers(name):
            for output in reader.output:
                found.update(dict.fromkeys(_downwards(model, output)))
    return tuple(name for name in found if name and name not in given)


def _upwards(model: OnnxModel, name: str) -> list[str]:
    names = [name]
    node = model.producer(name)
    while node is not None and node.op_type in PASSING:
        names.append(node.input[0])
        node = model.producer(node.input[0])
    return names


def _downwards(model: OnnxModel, name: str) -> list[str]:
    names = [name]
    node = model.sole_consumer(name)
    while node is not None and node.op_type in PASSING:
        names.append(node.output[0])
        node = model.sole_consumer(node.output[0])
    return names
