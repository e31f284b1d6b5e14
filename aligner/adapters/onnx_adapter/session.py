"""An ONNX model as a session, run by onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from typing import Any, ClassVar

from aligner.adapters.base import Capabilities, Feeds, Injection, Session
from aligner.adapters.border import reading
from aligner.adapters.digest import digest
from aligner.adapters.onnx_adapter.branches import Inlined, inline_taken_branches, is_branching
from aligner.adapters.onnx_adapter.composites import ROUNDS, with_composites_expanded
from aligner.adapters.onnx_adapter.encoded import encoded_values
from aligner.adapters.onnx_adapter.engine import Engine
from aligner.adapters.onnx_adapter.execution import Execution, captured
from aligner.adapters.onnx_adapter.feeds import check_feeds, input_specs, shapes_of
from aligner.adapters.onnx_adapter.file import OnnxFile
from aligner.adapters.onnx_adapter.graph import build_graph
from aligner.adapters.onnx_adapter.mapped_pages import given_back
from aligner.adapters.onnx_adapter.piece_sessions import PieceSessions
from aligner.adapters.onnx_adapter.program import Piece, Program, fed_inputs, index_program, make_piece
from aligner.adapters.onnx_adapter.shapes import settle_shapes
from aligner.adapters.onnx_adapter.types import ValueType, infer_types, value_type
from aligner.errors import AlignerError, InputError, ModelFormatError, listing
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The model as it runs on certain feeds: the branches they take put in place, and their shapes known."""

    program: Program
    graph: Graph
    sessions: PieceSessions = field(default_factory=PieceSessions)


class OnnxSession(Session):
    """An ONNX model; runs make runtime sessions of its pieces, and keep the small ones for the same pieces to come.

    Values inside Loop and Scan, and in branches whose condition cannot be computed, are not observable; values in the
    runtime's own form (blocked channels, integers scaled as it runs) are shown only where they are asked for. Which
    branch an If takes is decided by the feeds alone, so an injected value does not change the graph.
    """

    framework: ClassVar[str] = "onnx"
    capabilities = Capabilities(
        reads_statically=True, predicts_aside=True, optimisations=("none", "basic", "extended", "all")
    )

    def __init__(self, file: OnnxFile, engine: Engine, memory_limit: int | None = None) -> None:
        self._file, self._engine, self._memory_limit = file, engine, memory_limit
        self._prepared: tuple[object, _Prepared] | None = None
        self._preparing, self._starting = threading.Lock(), threading.Lock()
        self._started: Any = None
        self._alive: tuple[Any, ...] = ()
        self._closed = False
        self._notes: tuple[str, ...] = ()
        self._inputs, self._branching = fed_inputs(file.skeleton.graph), is_branching(file.skeleton)

    @property
    def runtime(self) -> str:
        return self._engine.title

    @property
    def notes(self) -> tuple[str, ...]:
        return self._notes

    @property
    def signature(self) -> Signature:
        outputs = (value.name for value in self._file.skeleton.graph.output if value_type(value.type).tensor)
        return Signature(input_specs(self._inputs), tuple(dict.fromkeys(outputs)))

    def in_float64(self) -> Session:
        """ONNX's reference evaluator on the model with wide constants and casts; small models only."""
        from aligner.adapters.onnx_adapter.float64 import WideOnnxSession

        return WideOnnxSession(self, self.program)

    def program(self, feeds: Feeds | None) -> Program:
        """The model's nodes as they run on these feeds, or as far as they are known without any."""
        return self._prepare(feeds).program

    def graph(self, feeds: Feeds | None) -> Graph:
        """The dataflow; with ``feeds``, shapes are theirs and every If is replaced by the branch it takes."""
        return self._prepare(feeds).graph

    def get_ready(self) -> None:
        with self._starting, suppress(AlignerError):  # what is wrong with the model is told when it is asked
            if not self._closed:
                self._started = self._whole()

    def _whole(self) -> Any:
        if not self._file.external:
            return self._optimised(self._file.path or self._file.original)
        piece = self._all(self._file.skeleton, [output.name for output in self._file.skeleton.graph.output])
        self._alive = piece.keep_alive
        with given_back(piece.keep_alive):
            return self._optimised(piece.model, piece.stubs)

    def _optimised(self, model: Any, stubs: Mapping[str, Any] | None = None) -> Any:
        """A session at the level that was asked for; the optimiser may refuse what the runtime takes."""
        try:
            return self._engine.session(model, stubs)
        except ModelFormatError as error:
            if self._engine.is_chosen:
                raise
            session = self._engine.session(model, stubs, level="none")
            self._notes = (f"onnxruntime's optimiser refuses the model, which ran unoptimised: {error.found}",)
            return session

    def _all(self, model: Any, outputs: list[str]) -> Piece:
        """The whole model in one piece."""
        program = index_program(self._file, model, {})
        piece = make_piece(program, range(len(program.nodes)), outputs, {}, {})
        piece.model.graph.input.extend(program.inputs.values())
        return piece

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        with self._starting:
            session, self._started = self._started, None
        return self._answers(session or self._whole(), feeds)

    def _answers(self, session: Any, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        fed = check_feeds(self._inputs, feeds)
        graph = self._prepare(feeds).graph
        if not graph.outputs:  # an empty list would mean "all" to the runtime
            return ()
        results = dict(zip(graph.outputs, self._engine.run(session, graph.outputs, fed), strict=True))
        return tuple(
            tensor
            for name, value in results.items()
            for tensor in captured(name, value, graph.values[name].quantization)
        )

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        fed = check_feeds(self._inputs, feeds)
        prepared = self._prepare(feeds)
        wanted = _wanted(prepared, observe)
        execution = Execution(
            self._engine, prepared.program, fed, wanted, inject, self._memory_limit, prepared.sessions
        )
        return _results(self._file, prepared, fed, wanted, execution)

    def close(self) -> None:
        with self._starting:
            self._prepared, self._started, self._closed = None, None, True

    def _prepare(self, feeds: Feeds | None) -> _Prepared:
        """The model for these feeds; the last answer is kept."""
        key = None if feeds is None else digest(feeds) if self._branching else tuple(sorted(shapes_of(feeds).items()))
        with self._preparing:
            if self._prepared is None or self._prepared[0] != key:
                with reading(str(self._file)):
                    self._prepared = key, self._prepared_for(feeds)
            return self._prepared[1]

    def _prepared_for(self, feeds: Feeds | None) -> _Prepared:
        """Inline branches and infer shapes."""
        model = self._file.skeleton
        inlined = Inlined(model)
        if feeds is not None and self._branching:
            fed = check_feeds(self._inputs, feeds)
            inlined = inline_taken_branches(model, lambda *question: self._decide(fed, *question))
        shapes = shapes_of(feeds or {})
        types = self._types(model := inlined.model, shapes)
        for _ in range(ROUNDS):
            expanded = with_composites_expanded(model, types)
            if expanded is None:
                break
            types = self._types(model := expanded, shapes)
        inlined = replace(inlined, model=model)
        program = index_program(self._file, inlined.model, types)
        return _Prepared(program, build_graph(self._file, inlined, types))

    def _types(self, model: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, ValueType]:
        types = infer_types(model, shapes, lambda names: self._ask(model, names))
        return types | settle_shapes(self._file, model, types, shapes, self._engine)

    def _decide(self, feeds: Mapping[str, Any], model: Any, conditions: list[str]) -> dict[str, bool]:
        program = index_program(self._file, model, {})
        found = {
            name: bool(_constant(self._file, program, name).any()) for name in conditions if program.is_fixed(name)
        }
        found |= {name: bool(feeds[name].numpy().any()) for name in conditions if name in feeds}
        rest = [name for name in conditions if name not in found and name in program.producer]
        run = Execution(self._engine, program, feeds, rest, None, None)
        return found | {tensor.value: bool(tensor.array.any()) for tensor in run.results({})}

    def _ask(self, model: Any, names: list[str]) -> dict[str, tuple[str, list[Any]]]:
        """onnxruntime's types of values that ONNX's own inference does not know."""
        piece = self._all(model, names)
        try:
            session = self._engine.session(piece.model, piece.stubs, level="none")
        except AlignerError:
            return {}
        return {output.name: (output.type, output.shape) for output in session.get_outputs()}


def _wanted(prepared: _Prepared, observe: Collection[str] | None) -> frozenset[str]:
    graph, program = prepared.graph, prepared.program
    known = {
        name for name in graph.values if name in program.producer or name in program.inputs or name in graph.outputs
    }
    if observe is None:
        outputs = frozenset(graph.outputs)
        return frozenset(known - program.constants.keys() - (encoded_values(program.nodes) - outputs))
    unknown = [name for name in observe if name not in known]
    if unknown:
        raise InputError(
            f"the model has no value {unknown[0]!r} that could be observed",
            found=f"unknown: {listing(unknown)}",
            hint="see `align inspect` for its values; those inside Loop and Scan are not observable",
        )
    return frozenset(observe)


def _results(
    file: OnnxFile, prepared: _Prepared, fed: Mapping[str, Any], wanted: frozenset[str], execution: Execution
) -> Iterator[CapturedTensor]:
    """Inputs first, then weights that are outputs, then what the nodes compute."""
    graph, program = prepared.graph, prepared.program
    meaning = {name: value.quantization for name, value in graph.values.items()}
    for name in program.inputs:
        if name in wanted and name in fed:
            yield from captured(name, fed[name], meaning[name])
    for name in graph.outputs:
        if name in wanted and name in program.initializers:
            weight = graph.weights[name]
            yield CapturedTensor(name, _constant(file, program, name), weight.dtype, weight.quantization)
    yield from execution.results(meaning)


def _constant(file: OnnxFile, program: Program, name: str) -> Array:
    from aligner.adapters.onnx_adapter.constants import constant_tensor

    if name in program.constants:
        return file.array(constant_tensor(program.nodes[program.constants[name]]))
    return file.array(file.tensors.get(name, program.initializers[name]))
