"""A TensorFlow program as a session."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from aligner.adapters.base import INTERMEDIATES, Capabilities, Feeds, Injection, OpenOptions, Session
from aligner.adapters.border import no_such_value
from aligner.adapters.tensorflow_adapter.dataflow import Dataflow
from aligner.adapters.tensorflow_adapter.feeds import as_fed, bind_feeds
from aligner.adapters.tensorflow_adapter.graph import build_graph, channels_of, plain, signature_of
from aligner.adapters.tensorflow_adapter.program import Program
from aligner.adapters.tensorflow_adapter.segments import segments_of
from aligner.adapters.tensorflow_adapter.tapped import TappedGraph, failed
from aligner.records.array import Array
from aligner.records.graph import Graph, Signature
from aligner.records.tensor import CapturedTensor


class TensorFlowSession(Session):
    """Runs the function as it is; observed and injected runs compute its frozen graph without optimisers."""

    framework = "tensorflow"

    def __init__(self, program: Program, options: OpenOptions) -> None:
        self._program = program
        self._options = options
        self._flow = Dataflow(program)
        self._flows: dict[tuple[tuple[int, ...], ...], Dataflow] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Convolutions say where channels are."""
        return Capabilities(reads_statically=True, channels=channels_of(self._flow))

    @property
    def runtime(self) -> str:
        """ "tensorflow 2.21.0 (Keras 3.15.1)"."""
        import tensorflow as tf

        keras = f" (Keras {self._program.keras})" if self._program.keras else ""
        return f"tensorflow {tf.__version__}{keras}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Of how the model was opened."""
        return self._program.notes

    @cached_property
    def signature(self) -> Signature:
        """Inputs by the names that the function gives them."""
        return signature_of(self._flow)

    def graph(self, feeds: Feeds | None) -> Graph:
        """The frozen graph; with feeds, shapes are those that TensorFlow infers for them."""
        return build_graph(self._flow if feeds is None else self._sized(bind_feeds(self._flow, feeds)))

    def _sized(self, feeds: Mapping[str, Array]) -> Dataflow:
        shapes = {name: array.shape for name, array in feeds.items()}
        key = tuple(shapes.values())
        if key not in self._flows:
            self._flows.clear()  # runs come back to the same sizes, or go on to others
            self._flows[key] = Dataflow(self._program, shapes)
        return self._flows[key]

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Call the function itself."""
        import tensorflow as tf

        if self._program.call is None:
            ends = [self._flow.id_of(tensor) for tensor in self._flow.outputs]
            shown = {one.value: one for one in self.run(feeds, set(ends))}
            return tuple(shown[name] for name in ends)
        given = bind_feeds(self._flow, feeds)
        try:
            found = self._program.call(given)
        except (tf.errors.OpError, ValueError, TypeError) as error:
            raise failed(error) from error
        ends = self._flow.outputs
        return tuple(self._captured(end, tensor.numpy()) for end, tensor in zip(ends, found, strict=True))

    def _captured(self, tensor: Any, array: Any) -> CapturedTensor:
        return CapturedTensor(self._flow.id_of(tensor), read_only(array), tensor.dtype.base_dtype.name)

    @cached_property
    def _tapped(self) -> TappedGraph:
        return TappedGraph(self._flow)

    @cached_property
    def _shown(self) -> dict[str, Any]:
        """Value id → tensor, in execution order: what is fed, then what is computed and stands in the graph."""
        listed = build_graph(self._flow).values
        every = {self._flow.id_of(tensor): tensor for tensor in [*self._flow.fed.values(), *self._flow.results()]}
        return {name: tensor for name, tensor in every.items() if name in listed}

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run in parts that fit the memory limit; injected arrays are read when a part of the run needs them."""
        given = bind_feeds(self._flow, feeds)
        wanted = set(self._shown if observe is None else (self._known(name, "observe") for name in observe))
        replaced = {self._known(name, "inject"): name for name in inject or ()}
        return self._walk(given, wanted, replaced, inject or {})

    def _known(self, name: str, verb: str) -> str:
        if name not in self._shown:
            raise no_such_value(name, verb)
        return name

    def _walk(
        self, given: Mapping[str, Array], wanted: set[str], replaced: Mapping[str, str], inject: Injection
    ) -> Iterator[CapturedTensor]:
        held: dict[str, Array] = {}

        def seen(name: str) -> Array:
            """What the consumers of a value read."""
            if name in replaced and name not in held:
                held[name] = as_fed(self._shown[name], inject[name])
            return held[name]

        for name, array in given.items():
            if name in wanted:
                yield CapturedTensor(name, read_only(array.copy()), self._shown[name].dtype.base_dtype.name)
            if name not in replaced:
                held[name] = as_fed(self._shown[name], array)
        missing = {name for name in wanted if name not in given}
        budget = self._options.memory_limit or INTERMEDIATES
        for part in segments_of(self._flow, self._sized(given), budget):
            if not missing:
                return
            shown = [name for name in part.made if name in wanted and name in self._shown]
            carried = [name for name in part.carried if name not in replaced]
            fetched = list(dict.fromkeys([*shown, *carried]))
            names = [*part.read, *(name for name in part.made if name in replaced)]
            fed = {self._tensors[name].name: seen(name) for name in names}
            arrays = self._tapped.run([self._tensors[name].name for name in fetched], fed) if fetched else []
            for name, array in zip(fetched, arrays, strict=True):
                if name in carried:
                    held[name] = array
            del fed
            for name in list(held):
                if name not in part.read_later:
                    del held[name]
            for name, array in zip(fetched, arrays, strict=True):
                if name in shown:
                    missing.discard(name)
                    yield self._captured(self._shown[name], array)

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return {self._flow.id_of(tensor): tensor for tensor in [*self._flow.fed.values(), *self._flow.results()]}

    def in_float64(self) -> Session:
        """The same graph with all floats in float64."""
        from aligner.adapters.tensorflow_adapter.float64 import widened_program

        return TensorFlowSession(widened_program(self._flow), self._options)

    def close(self) -> None:
        """Release TensorFlow's session, where a run has made one."""
        if "_tapped" in self.__dict__:
            self._tapped.close()


def read_only(array: Any) -> Array:
    """An array of numpy's own types that nobody writes to."""
    found = plain(np.asarray(array))
    if found.flags.writeable:
        found = found.view()
        found.flags.writeable = False
    return found
