"""What people do without this tool: promote everything, pair by order and shape, take the first large difference."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from benchmarks.faults.architectures import Feeds, channels_fitted
from benchmarks.faults.scoring import Blamed, root_mean_square

MAX_ABS = 1e-5
COSINE = 0.999
RECIPES = ("max abs > 1e-5", "cosine < 0.999")
_SMALL = 8
"""Tensors of fewer elements are skipped by the recipe: scalars and shapes pair with anything."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A captured tensor and where it comes from."""

    blamed: Blamed
    array: np.ndarray


def common_recipe(reference: Any, candidate: Any, feeds: Feeds) -> dict[str, list[Blamed]]:
    """Run both sides with everything observed and walk along both lists: what is blamed, by criterion."""
    left, right = _tensors(reference, feeds, "reference"), _tensors(candidate, feeds, "candidate")
    blamed: dict[str, list[Blamed]] = {name: [] for name in RECIPES}
    for a, b in paired(left, right):
        for name, wrong in zip(RECIPES, (_far(a.array, b.array), _turned(a.array, b.array)), strict=True):
            if wrong:
                blamed[name].append(b.blamed)
    return blamed


def reference_sizes(reference: Any, feeds: Feeds) -> dict[str, float]:
    """The rms of the reference's tensors, by name."""
    found = _tensors(reference, feeds, "reference")
    return {name: root_mean_square(each.array) for each in found for name in each.blamed.names[:1]}


def reference_tensors(reference: Any, feeds: Feeds) -> list[np.ndarray]:
    """All of the reference's float tensors, of whatever size."""
    return [each.array for each in _tensors(reference, feeds, "reference", smallest=1)]


def paired(left: list[Tensor], right: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The longest runs of equal shapes in both lists, in order: the kindest reading of "by order and shape"."""
    shapes = [[str(tensor.array.shape) for tensor in side] for side in (left, right)]
    blocks = SequenceMatcher(None, *shapes, autojunk=False).get_matching_blocks()
    return [(left[block.a + i], right[block.b + i]) for block in blocks for i in range(block.size)]


def _tensors(target: Any, feeds: Feeds, side: str, smallest: int = _SMALL) -> list[Tensor]:
    from aligner.adapters.base import OpenOptions
    from aligner.adapters.registry import open_model

    session = open_model(target, OpenOptions())
    try:
        own = {name.split(".", 1)[-1]: array for name, array in feeds.items() if _is_for(name, side)}
        names = [spec.name for spec in session.signature.inputs]
        fed = own if set(own) == set(names) else dict(zip(names, own.values(), strict=False))
        shapes = {spec.name: spec.shape for spec in session.signature.inputs}
        fed = {name: channels_fitted(array, shapes.get(name) or ()) for name, array in fed.items()}
        graph = session.graph(fed)
        nodes = {output: node for node in graph.nodes for output in node.outputs}
        found = []
        for tensor in session.run(fed, None):
            array, node = np.asarray(tensor.real()), nodes.get(tensor.value)
            if node is None or array.size < smallest or array.dtype.kind != "f":
                continue
            value = graph.values[tensor.value]
            found.append(Tensor(Blamed((value.name, *value.aliases), node.scope, node.kind), array))
        return found
    finally:
        session.close()


def _is_for(name: str, side: str) -> bool:
    return not name.startswith(("reference.", "candidate.")) or name.startswith(f"{side}.")


def _far(a: np.ndarray, b: np.ndarray) -> bool:
    return not bool(np.abs(a.astype(np.float64) - b).max() <= MAX_ABS)


def _turned(a: np.ndarray, b: np.ndarray) -> bool:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return not (bool(x @ y / lengths >= COSINE) if lengths else bool((x == y).all()))
