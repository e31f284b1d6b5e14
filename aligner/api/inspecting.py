"""inspect(): what a model holds, without comparing it to anything."""

from __future__ import annotations

from typing import Any

from aligner.adapters.base import OpenOptions
from aligner.api.given_inputs import read_items
from aligner.errors import InputError
from aligner.execution import memory
from aligner.execution.determinism import undisturbed
from aligner.execution.opening import open_side, side_info
from aligner.inputs import Preprocessing, prepare_feeds
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Signature


@dataclass(frozen=True, slots=True)
class Inspection:
    """A model's graph and signature, and what ran it."""

    path: str
    runtime: str
    graph: Graph
    signature: Signature
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Model, runtime and size; the fields hold the rest."""
        return f"<aligner.Inspection of {self.path}: {len(self.graph.nodes):,} nodes, {self.runtime}>"


@memory.settled()
@undisturbed()
def inspect(
    model: object,
    inputs: Any = None,
    *,
    options: OpenOptions | None = None,
    preprocessing: Preprocessing | None = None,
    seed: int = 0,
) -> Inspection:
    """Read a model's graph; eager modules run once and need inputs, static formats take them to know shapes.

    Raises ModelError or InputError.
    """
    items = read_items(inputs)
    side = open_side("model", model, options or OpenOptions(), seed)
    try:
        if items:
            side.feeds = prepare_feeds(items, side_info(side), None, preprocessing or Preprocessing(), seed).reference
        graph = _graph(side, bool(items), preprocessing, seed)
        return Inspection(side.path, side.session.runtime, graph, side.session.signature, side.session.notes)
    finally:
        side.close()


def _graph(side: Any, fed: bool, preprocessing: Preprocessing | None, seed: int) -> Graph:
    if fed:
        return side.graph  # type: ignore[no-any-return]
    try:
        return side.session.graph(None)  # type: ignore[no-any-return]
    except InputError:
        side.feeds = prepare_feeds([], side_info(side), None, preprocessing or Preprocessing(), seed).reference
        return side.graph  # type: ignore[no-any-return]
