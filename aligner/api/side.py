"""One model of a comparison, opened: its session, feeds, graph, and runs that each start from the same seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aligner.api.determinism import seed_everything
from aligner.records import progress
from aligner.records.comparison import ModelSummary
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection, Session
    from aligner.capture.profile import Profile


@dataclass(slots=True)
class OpenSide:
    """``role`` is "reference" or "candidate"; ``path`` what the report calls the model."""

    role: str
    path: str
    session: Session
    seed: int = 0
    feeds: Feeds = field(default_factory=dict)
    _graph: Graph | None = None
    profile: Profile | None = None

    @property
    def graph(self) -> Graph:
        """The dataflow for these feeds; read once."""
        if self._graph is None:
            progress.enter(self.role, "reading the graph", self.path)
            seed_everything(self.seed)
            self._graph = self.session.graph(self.feeds)
        return self._graph

    def read(self, feeds: Feeds | None) -> Graph:
        """Read the dataflow for these feeds from now on; None: as far as it is known without running.

        Raises InputError where the graph cannot be read without feeds.
        """
        progress.enter(self.role, "reading the graph", self.path)
        seed_everything(self.seed)
        self._graph = self.session.graph(feeds)
        self.feeds = feeds or {}
        return self._graph

    def predict(self) -> tuple[CapturedTensor, ...]:
        """The untouched model's outputs."""
        progress.enter(self.role, "running", self.path)
        seed_everything(self.seed)
        return self.session.predict(self.feeds)

    def run(
        self,
        observe: Collection[str] | None = None,
        inject: Injection | None = None,
        *,
        phase: str = "observing",
        feeds: Feeds | None = None,
    ) -> Iterator[CapturedTensor]:
        """An observed run."""
        progress.enter(self.role, phase, self.path)
        seed_everything(self.seed)
        return self.session.run(self.feeds if feeds is None else feeds, observe, inject)

    def replay(self, observe: Collection[str], *, phase: str = "observing") -> Iterator[CapturedTensor]:
        """The same tensors as an observed run: from the profile where it kept them, else by running again."""
        if self.profile is not None and self.profile.tensors is not None:
            wanted = set(observe)
            return (tensor for tensor in self.profile.tensors if tensor.value in wanted)
        return self.run(observe, phase=phase)

    def summary(self) -> ModelSummary:
        """What the report says of the model."""
        return ModelSummary(
            path=self.path,
            framework=self.session.framework,
            runtime=self.session.runtime,
            nodes=len(self.graph.nodes),
            notes=tuple(dict.fromkeys((*self.session.notes, *self.graph.notes))),
        )
