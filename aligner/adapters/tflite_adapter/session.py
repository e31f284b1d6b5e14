"""A TFLite file as a session: observed through patched output indices, injected through twin tensors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

from aligner.adapters.base import INTERMEDIATES, Capabilities, OpenOptions, Session
from aligner.adapters.border import no_such_value
from aligner.errors import AlignerError, InputError, listing
from aligner.records.array import Array
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from aligner.adapters.base import Feeds, Injection
    from aligner.adapters.tflite_adapter.runtime import Runtime
    from aligner.adapters.tflite_adapter.schema import Model
    from aligner.records.graph import Graph, Shape, Signature


class TFLiteSession(Session):
    """One file; every run uses interpreters of its own, so states and reused buffers never leak."""

    framework: ClassVar[str] = "tflite"
    capabilities = Capabilities(reads_statically=True, channels="last")

    def __init__(self, model: Model, options: OpenOptions) -> None:
        from aligner.adapters.tflite_adapter.graph import name_tensors
        from aligner.adapters.tflite_adapter.patch import Patcher
        from aligner.adapters.tflite_adapter.plan import Planner

        self._model = model
        self._naming = name_tensors(model.main)
        self._patcher = Patcher(model, self._naming.computed)
        self._planner = Planner.of(model.main, self._naming)
        self._budget = options.memory_limit or INTERMEDIATES
        self._run_shapes: dict[tuple[tuple[int, ...], ...], dict[int, Shape]] = {}

    @cached_property
    def _runtime(self) -> Runtime:
        from aligner.adapters.tflite_adapter.runtime import find_runtime

        return find_runtime(self._model)

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Kernels and threads of the interpreter."""
        return self._runtime.switches()

    def switched(self, switch: str, setting: str) -> Session:
        """The same file under one of them."""
        other = TFLiteSession(self._model, OpenOptions(memory_limit=self._budget))
        other._runtime = self._runtime.switched(switch, setting)
        return other

    @property
    def runtime(self) -> str:
        """The interpreter's package and version; the graph can be read without one."""
        try:
            return self._runtime.name
        except AlignerError as error:
            return f"no interpreter ({error.what})"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the file holds beyond one stateless graph, and what refused to run it."""
        from aligner.adapters.tflite_adapter.graph import notes_of

        refused = self._runtime.refused[:1] if "_runtime" in self.__dict__ else []
        return (
            *notes_of(self._model),
            *(f"run by plain kernels, which apps do not by default: {one}" for one in refused),
        )

    @cached_property
    def signature(self) -> Signature:
        """Inputs by tensor name; feeds may also use the names of the exporter's signature."""
        from aligner.adapters.tflite_adapter.graph import signature_of

        return signature_of(self._model, self._naming)

    @cached_property
    def _observable(self) -> frozenset[int]:
        from aligner.adapters.tflite_adapter.runtime import observable

        tensors = self._model.main.tensors
        candidates = {*self._model.main.inputs, *self._naming.computed}
        return frozenset(index for index in candidates if observable(tensors[index].dtype))

    def graph(self, feeds: Feeds | None) -> Graph:
        """The main subgraph; with feeds, sizes that depend on them are those of a run."""
        from aligner.adapters.tflite_adapter.graph import build_graph

        arrays = None if feeds is None else self._arrays(feeds)
        shapes = None if arrays is None else self._shapes(arrays)
        return build_graph(self._model, self._naming, shapes)

    def _shapes(self, arrays: Mapping[int, Array]) -> dict[int, Shape]:
        tensors = self._model.main.tensors
        fixed = all(tensor.ranked and -1 not in tensor.signature for tensor in tensors)
        if fixed and all(array.shape == tensors[index].shape for index, array in arrays.items()):
            return {}
        key = tuple(array.shape for array in arrays.values())
        if key not in self._run_shapes:
            run = self._walk(arrays, self._observable, {})
            self._run_shapes[key] = {self._naming.indices[t.value]: t.array.shape for t in run}
        return self._run_shapes[key]

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """Run the file as it is."""
        from aligner.adapters.tflite_adapter.feeds import blaming_sizes

        arrays, names = self._arrays(feeds), partial(self._operator_name, None)
        with blaming_sizes(self._model, self._naming, arrays):
            results = self._runtime.execute(self._model.data, arrays, self._model.main.outputs, operator_names=names)
            return tuple(self._captured(index, array) for index, array in results)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Run in parts that fit the memory limit; injected arrays are read when their consumers are about to run."""
        arrays = self._arrays(feeds)
        wanted = self._observable if observe is None else frozenset(self._index(name, "observe") for name in observe)
        places = {self._index(name, "inject"): name for name in inject or ()}
        fixed = self._naming.constants & places.keys()
        if fixed:
            raise InputError(
                "constants cannot be injected into a TFLite model",
                found=listing(places[index] for index in fixed),
                hint="inject into what the operators compute from them",
            )
        source = inject or {}
        return self._walk(arrays, wanted, {index: partial(_read, source, name) for index, name in places.items()})

    def _index(self, name: str, verb: str) -> int:
        index = self._naming.indices.get(name)
        if index is None:
            raise no_such_value(name, verb)
        return index

    def _captured(self, index: int, array: Array) -> CapturedTensor:
        tensor = self._model.main.tensors[index]
        return CapturedTensor(self._naming.ids[index], array, tensor.dtype, tensor.quantization)

    def _operator_name(self, chosen: tuple[int, ...] | None, number: int) -> str:
        operators = self._model.main.operators
        index = number if chosen is None else chosen[number] if number < len(chosen) else len(operators)
        if index >= len(operators):
            return ""
        outputs = [self._naming.ids[i] for i in operators[index].outputs if i >= 0]
        return f"operator {index} {operators[index].op} ({listing(outputs)})"

    def _arrays(self, feeds: Feeds) -> dict[int, Array]:
        from aligner.adapters.tflite_adapter.feeds import bind_feeds

        return bind_feeds(self._model, self._naming, feeds)

    def _walk(
        self, arrays: Mapping[int, Array], wanted: frozenset[int], replaced: Mapping[int, Callable[[], Array]]
    ) -> Iterator[CapturedTensor]:
        from aligner.adapters.tflite_adapter.feeds import blaming_sizes
        from aligner.adapters.tflite_adapter.run import Walk

        walk = Walk(
            model=self._model,
            naming=self._naming,
            planner=self._planner,
            patcher=self._patcher,
            runtime=self._runtime,
            describe=self._operator_name,
            budget=self._budget,
        )
        with blaming_sizes(self._model, self._naming, arrays):
            for index, array in walk.run(arrays, wanted, replaced):
                yield self._captured(index, array)


def _read(injection: Injection, name: str) -> Array:
    import numpy as np

    return np.asarray(injection[name])
