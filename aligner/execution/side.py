"""One model of a comparison, opened: its session, feeds, graph, and runs that each start from the same seed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aligner.adapters.base import Feeds, FirstLook, Injection, LooksFirst, Session
from aligner.adapters.stream import ahead, is_huge, leeway
from aligner.errors import ModelError, ModelExecutionError, listing
from aligner.execution import memory
from aligner.execution.determinism import seed_everything
from aligner.execution.profile import Profile
from aligner.inputs.layouts import shape_text
from aligner.records import progress
from aligner.records.comparison import ModelSummary
from aligner.records.graph import Graph
from aligner.records.tensor import CapturedTensor


@dataclass(slots=True)
class OpenSide:
    """``role`` is "reference" or "candidate"; ``path`` what the report calls the model."""

    role: str
    path: str
    session: Session
    seed: int = 0
    feeds: Feeds = field(default_factory=dict)
    look: FirstLook = field(default_factory=FirstLook)
    """What reading the graph may be, where that takes a run."""
    _shown: tuple[CapturedTensor, ...] | None = None
    _graph: Graph | None = None
    profile: Profile | None = None
    _closed: bool = False

    @property
    def graph(self) -> Graph:
        """The dataflow for these feeds; read once."""
        if self._graph is None:
            self._graph = self._read(self.feeds)
        return self._graph

    def read(self, feeds: Feeds | None) -> Graph:
        """Read the dataflow for these feeds from now on; None: as far as it is known without running.

        Raises InputError where the graph cannot be read without feeds.
        """
        self._graph = self._read(feeds)
        self.feeds = feeds or {}
        return self._graph

    def _read(self, feeds: Feeds | None) -> Graph:
        progress.enter(self.role, "reading the graph", self.path)
        seed_everything(self.seed)
        with self._named():
            if feeds is None or not isinstance(self.session, LooksFirst):
                return self.session.graph(feeds)
            graph, self._shown = self.session.first_look(feeds, self.look)
            return graph

    def first_look(self) -> Iterator[CapturedTensor]:
        """A first run with every value observed: the one that read the graph, if there was one."""
        shown = self._shown
        self.forget()
        if shown is not None:
            return iter(shown)
        budget = leeway(self.look.budget)
        return ahead(self.run(None), budget, lambda tensor: tensor.array.nbytes, is_huge) if budget else self.run(None)

    def forget(self) -> None:
        """Let go of what the run that read the graph has shown."""
        self._shown = None

    def predict(self) -> tuple[CapturedTensor, ...]:
        """The untouched model's outputs."""
        progress.enter(self.role, "running", self.path)
        seed_everything(self.seed)
        with self._named():
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
        with self._named():
            return self._stream(self.session.run(self.feeds if feeds is None else feeds, observe, inject))

    def _stream(self, tensors: Iterator[CapturedTensor]) -> Iterator[CapturedTensor]:
        with self._named():
            yield from tensors

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Let an error of the model say which of the two it is."""
        try:
            yield
        except SystemExit as error:  # let through, it would end the command with the code of a verdict
            raise ModelExecutionError(
                f"running {self._who(self.path)} ended: its code asked the process to exit",
                found=f"SystemExit with code {error.code or 0}, raised in the model's own code",
                hint="take exit, quit or sys.exit out of what the model calls",
            ) from error
        except ModelError as error:
            known = Path(self.path).name in error.what
            who = self._who("" if known else self.path)
            what = f"{who}: {error.what}" if who else error.what
            fed = listing(f"{name} {shape_text(array.shape)} {array.dtype}" for name, array in self.feeds.items())
            found = f"{error.found}; fed: {fed}" if fed and isinstance(error, ModelExecutionError) else error.found
            raise type(error)(what, found=found, hint=error.hint) from error

    def _who(self, path: str) -> str:
        """ "the candidate model.onnx"; an empty path is left out, and so is the role of a model that stands alone."""
        return " ".join(filter(None, ("" if self.role == "model" else f"the {self.role}", path)))

    def replay(self, observe: Collection[str], *, phase: str = "observing") -> Iterator[CapturedTensor]:
        """The same tensors as an observed run: from the profile where it kept them, else by running again."""
        if self.profile is not None and self.profile.tensors is not None:
            wanted = set(observe)
            return (tensor for tensor in self.profile.tensors if tensor.value in wanted)
        return self.run(observe, phase=phase)

    @property
    def is_code(self) -> bool:
        """Whether the user's own code made the model, and may hold it in circles; a file's goes with its session."""
        return not Path(self.path).exists()

    def close(self, *, last: bool = True, circles: bool = False) -> None:
        """Let the runtime die now, while a crash can still be told from a finished report.

        What only the garbage collector finds goes with the ``last`` side that is closed; ``circles``: one of those
        before it was code.
        """
        if self._closed:
            return
        self._closed = True
        progress.enter(self.role, "releasing", self.path)
        self.profile = self._graph = None
        self.session.close()
        del self.session
        if last:
            memory.collect(aside=circles or self.is_code)

    def summary(self) -> ModelSummary:
        """What the report says of the model."""
        return ModelSummary(
            path=self.path,
            framework=self.session.framework,
            runtime=self.session.runtime,
            nodes=len(self.graph.nodes),
            notes=tuple(dict.fromkeys((*self.session.notes, *self.graph.notes))),
        )


Sides = tuple[OpenSide, OpenSide]
"""The reference and the candidate."""
