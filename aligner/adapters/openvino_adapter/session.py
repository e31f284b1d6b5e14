"""An OpenVINO model as a session."""

from __future__ import annotations

import math
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.base import INTERMEDIATES, Capabilities, ChosenPrecision, Feeds, Injection, Session
from aligner.adapters.batches import batches
from aligner.adapters.border import no_such_value, reading
from aligner.adapters.openvino_adapter.cutting import cut_model, shapes_for
from aligner.adapters.openvino_adapter.engine import Engine, translated
from aligner.adapters.openvino_adapter.feeds import bind_feeds
from aligner.adapters.openvino_adapter.graph import build_graph, shape_of, signature_of
from aligner.adapters.openvino_adapter.grids import STORED, stored
from aligner.adapters.openvino_adapter.program import Place, read_program
from aligner.adapters.openvino_adapter.types import holder_of
from aligner.errors import InputError, listing
from aligner.records.array import Array
from aligner.records.graph import Graph, Shape, Signature
from aligner.records.tensor import CapturedTensor

_KEEP = "compile it with INFERENCE_PRECISION_HINT=f32, or EXECUTION_MODE_HINT=ACCURACY (here: --setting precision=f32)"
_UNSEEN = frozenset({"int4", "uint4"})
"""Types that the runtime hands out packed."""


class OpenVINOSession(Session):
    """One model; a run compiles a copy that shows what is asked for, and every run starts from fresh states."""

    framework: ClassVar[str] = "openvino"
    capabilities = Capabilities(reads_statically=True, predicts_aside=True)

    def __init__(self, model: Any, engine: Engine, memory_limit: int | None = None) -> None:
        self._own, self._engine = model, engine
        self._model = model.clone()  # a copy writes defaults out as layers: copies of a copy have the same ones
        self._budget = memory_limit or INTERMEDIATES
        with reading("the model"):
            self._program = read_program(self._model)
        self._lock = threading.Lock()
        self._shapes: dict[tuple[tuple[int, ...], ...], Mapping[Place, Shape | None]] = {}
        self._last: tuple[object, Any] | None = None

    @property
    def runtime(self) -> str:
        """ "OpenVINO 2026.4.1 (CPU)", with the precision where the device chose one."""
        chosen = self.chosen_precision
        return f"OpenVINO {self._engine.version} ({self._engine.device}{f', {chosen.word}' if chosen else ''})"

    @property
    def chosen_precision(self) -> ChosenPrecision | None:
        """bfloat16 on a CPU that has matrix units for it, float16 on a GPU, unless it is kept from that."""
        word = self._engine.chosen_precision()
        return None if word is None else ChosenPrecision(word, _KEEP)

    def in_declared_precision(self) -> Session:
        """The same model under INFERENCE_PRECISION_HINT=f32."""
        return OpenVINOSession(self._own, self._engine.exact(), self._budget)

    def switches(self) -> Mapping[str, tuple[str, ...]]:
        """Devices, execution modes, precisions and threads."""
        return self._engine.switches()

    def switched(self, switch: str, setting: str) -> Session:
        """The same model compiled with another property."""
        return OpenVINOSession(self._own, self._engine.switched(switch, setting), self._budget)

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self._program)

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be looked into."""
        bodies = [op.get_friendly_name() for op in self._program.ops if op.get_type_name() in _BODIES]
        if not bodies:
            return ()
        return (f"the bodies of loops and branches are compared as a whole: {listing(bodies)}",)

    def graph(self, feeds: Feeds | None) -> Graph:
        """The layers; with feeds, sizes that depend on their shapes are known."""
        shapes = {} if feeds is None else self._shapes_for(self._bound(feeds))
        with reading("the model"):
            return build_graph(self._program, shapes)

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        fed = self._bound(feeds)
        results = self._engine.run(self._untouched, list(fed.values()))
        found = dict(zip(self._order_of_results, results, strict=True))
        return tuple(self._captured(place, found[place]) for place in self._program.outputs)

    @cached_property
    def _untouched(self) -> Any:
        with self._lock:
            return self._engine.compile(self._own)

    @property
    def _order_of_results(self) -> list[Place]:
        """Where each of the model's results comes from, the same place perhaps more than once."""
        numbers = {op.get_name(): number for number, op in enumerate(self._program.ops)}
        return [self._program.reads[numbers[op.get_name()]][0] for op in self._model.get_results()]

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Inputs first; then what the layers compute, in parts that fit the memory limit."""
        fed = self._bound(feeds)
        wanted = self._wanted(observe)
        for name in inject or ():
            self._place(name, "inject")
        return self._results(fed, wanted, {} if inject is None else inject)

    def _results(self, fed: dict[str, Array], wanted: list[Place], inject: Injection) -> Iterator[CapturedTensor]:
        own = [place for place in wanted if place in self._program.inputs]
        stored = [place for place in wanted if place in self._program.weights]
        for place in self._program.inputs:
            if place in own:
                yield self._captured(place, _owned(fed[self._program.ids[place]]))
        for place in stored:
            yield self._captured(place, self.graph(None).weights[self._program.weights[place]].load())
        rest = [place for place in wanted if place not in own and place not in stored]
        shapes = self._shapes_for(fed)
        for part in self._parts(rest, shapes):
            given = self._given(part, inject)
            for place, array in zip(part, self._part(fed, part, given), strict=True):
                shown = self._as_declared(fed, place, array, given, shapes)
                # what is read back is what was stored, which may have been injected
                if self._program.ids.get((place[0], STORED)) in inject and place[1] != STORED:
                    shown = given.get(place, shown)
                yield self._captured(place, shown)

    def _as_declared(
        self,
        fed: Mapping[str, Array],
        place: Place,
        array: Array,
        given: Mapping[Place, Array],
        shapes: Mapping[Place, Shape | None],
    ) -> Array:
        """The array; shown alone where a fusion reached past it and shows what it makes further on in its place."""
        declared = shapes[place] if place in shapes else shape_of(self._program.output(place))
        sizes = zip(declared or (), array.shape, strict=False)
        fits = declared is None or (len(declared) == array.ndim and all(a in (None, b) for a, b in sizes))
        if fits:
            return array
        needed = self._program.needed([place], frozenset(given))
        return self._part(fed, [place], {each: array for each, array in given.items() if each in needed})[0]

    def _given(self, part: Sequence[Place], inject: Injection) -> dict[Place, Array]:
        """What is injected on the way to these places, as far as the injection has it."""
        offered = frozenset(self._program.places[name] for name in inject)
        given: dict[Place, Array] = {}
        read = self._program.needed(part, frozenset((number, max(k, 0)) for number, k in offered))
        asked = {(number, STORED) for number, _ in (*read, *part) if number in self._program.grids}
        for place in sorted((read | asked) & offered):
            with suppress(KeyError):  # the injection offers it and has none for this run
                given[place[0], max(place[1], 0)] = self._injected(place, inject)
        return given

    def _part(self, fed: Mapping[str, Array], part: Sequence[Place], given: Mapping[Place, Array]) -> list[Array]:
        shapes = {place: array.shape for place, array in given.items()}
        with self._lock:
            key = tuple(part), tuple(shapes.items())
            if self._last is None or self._last[0] != key:
                with translated("OpenVINO cannot show the inside of the model", InputError):
                    cut = cut_model(self._model, part, shapes)
                self._last = key, self._engine.compile(cut)
            compiled = self._last[1]
        return self._engine.run(compiled, [*fed.values(), *given.values()])

    def _injected(self, place: Place, inject: Injection) -> Array:
        array = np.asarray(inject[self._program.name_of(place)])
        if place[1] == STORED:
            return self._program.grids[place[0]].dequantize(array)
        return array.astype(holder_of(self._program.word(place)), copy=False)

    def _parts(self, places: Sequence[Place], shapes: Mapping[Place, Shape | None]) -> Iterator[list[Place]]:
        """Places in the order of their layers, as many at once as there is room for."""
        sizes = (
            math.prod(n or 1 for n in shapes.get(place) or ()) * self._program.output(place).get_element_type().size
            for place in places
        )
        return batches(zip(places, sizes, strict=True), self._budget)

    def _wanted(self, observe: Collection[str] | None) -> list[Place]:
        program = self._program
        if observe is not None:
            return sorted({self._place(name, "observe") for name in observe})
        words = {place: program.word(place) for place in program.ids}
        return sorted(
            [place for place, word in words.items() if holder_of(word) is not None and word not in _UNSEEN]
            + [place for place in program.outputs if place in program.weights]
        )

    def _place(self, name: str, verb: str) -> Place:
        program = self._program
        place = program.places.get(name)
        if place is None or (verb == "inject" and place in program.weights and place not in program.outputs):
            raise no_such_value(name, verb)
        return place

    def _bound(self, feeds: Feeds) -> dict[str, Array]:
        specs = {spec.name: spec for spec in self.signature.inputs}
        shapes = {
            self._program.ids[place]: self._program.ops[place[0]].output(0).get_partial_shape()
            for place in self._program.inputs
        }
        return bind_feeds({name: (specs[name], shapes[name]) for name in specs}, feeds)

    def _shapes_for(self, fed: Mapping[str, Array]) -> Mapping[Place, Shape | None]:
        if not self._model.is_dynamic():
            return {}
        key = tuple(array.shape for array in fed.values())
        with self._lock:
            if key not in self._shapes:
                with translated("the inputs do not fit the model", InputError):
                    self._shapes[key] = shapes_for(self._model, key)
            return self._shapes[key]

    def _captured(self, place: Place, array: Array) -> CapturedTensor:
        number, result = place
        name, word = self._program.name_of(place), self._program.word(place)
        if result == STORED:
            grid = self._program.grids[number]
            return CapturedTensor(name, stored(array, grid), word, grid)
        return CapturedTensor(name, array, word)

    def close(self) -> None:
        self._last = None
        self.__dict__.pop("_untouched", None)


_BODIES = frozenset({"If", "Loop", "TensorIterator"})


def _owned(array: Array) -> Array:
    copy = np.array(array, order="C")
    copy.flags.writeable = False
    return copy
