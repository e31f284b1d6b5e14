"""A TorchScript program as a session."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import Capabilities, FirstLook, Session
from aligner.adapters.kept import Kept
from aligner.adapters.stream import is_huge, stream
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection
    from aligner.adapters.torchscript_adapter.run import Program


class ScriptSession(Session):
    """A TorchScript module or function; each run works on a copy of its state."""

    framework: ClassVar[str] = "torchscript"
    capabilities = Capabilities(observes_faithfully=True)

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def runtime(self) -> str:
        """ "torch 2.13.0 (TorchScript, cpu)"."""
        import torch

        return f"torch {torch.__version__} (TorchScript, {self._program.device})"

    @property
    def signature(self) -> Signature:
        """Inputs go by the names of forward's arguments, in the order of ``graph().inputs``."""
        specs = tuple(spec for argument in self._program.arguments for spec in argument.specs)
        return Signature(specs, self._program.graph.graph.outputs)

    @property
    def notes(self) -> tuple[str, ...]:
        """Training mode."""
        if not self._program.training:
            return ()
        return ("the model is in training mode: dropout and batch norm behave differently; save it after .eval()",)

    def in_float64(self) -> ScriptSession:
        """The program over a widened copy of its module; only observed runs are widened throughout."""
        return ScriptSession(self._program.in_float64())

    def unrolled(self) -> ScriptSession | None:
        """PyTorch writes out loops of up to 64 rounds whose count stands in the program."""
        program = self._program.unrolled()
        return None if any(node.op == "prim::Loop" for node in program.graph.graph.nodes) else ScriptSession(program)

    def graph(self, feeds: Feeds | None) -> Graph:
        """The whole program; with ``feeds`` that of their run: shapes known, untaken branches left out.

        Outputs in lists that grow as the model runs are known only where feeds are given.
        """
        return self._program.graph.graph if feeds is None else self.first_look(feeds, FirstLook())[0]

    def first_look(self, feeds: Feeds, look: FirstLook) -> tuple[Graph, tuple[CapturedTensor, ...] | None]:
        """Shapes come from a run, of a large model from one without numbers."""
        from aligner.adapters.torchscript_adapter.graph import as_it_ran
        from aligner.adapters.torchscript_adapter.outputs import with_outputs
        from aligner.adapters.torchscript_adapter.run import Capture, Trace

        script, program = self._program.graph, self._program
        trace, kept = Trace(script), Kept(look.kept)
        outputs = program.rehearse(feeds, trace) if look.runs_long(program.held(feeds)) else None
        if outputs is None:
            random = program.random()
            capture = Capture(script, kept.take, wanted=None, inject={}, random=random) if look.kept else None
            trace = Trace(script, capture)
            outputs = program.observe(feeds, trace, random)
            if capture is not None:
                capture.returned(outputs)
        graph = with_outputs(as_it_ran(script.graph, trace.seen, trace.passed), script.result, outputs)
        return graph, kept.tensors()

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Run forward itself, from the state the model was opened with."""
        from aligner.adapters.torchscript_adapter.arrays import captured

        return tuple(captured(name, tensor) for name, tensor in self._program.predict(feeds))

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run the tapped graph without the executor's optimisations, so that every value exists.

        A value inside a loop is injected only under ``"id#occurrence"``, any other under its id.
        """
        from aligner.adapters.torchscript_adapter.run import Capture

        program, random = self._program, self._program.random()
        wanted = None if observe is None else frozenset(observe)

        def push(emit: Callable[[CapturedTensor], None]) -> None:
            capture = Capture(program.graph, emit, wanted=wanted, inject=inject or {}, random=random)
            capture.stored()
            capture.returned(program.observe(feeds, capture, random))

        # Runs that draw random numbers share one generator: they take turns.
        return stream(push, is_huge if random is None else lambda _: True)
