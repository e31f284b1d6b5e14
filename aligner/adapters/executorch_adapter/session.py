"""An ExecuTorch method as a session: each run is of a program cut to what is looked at."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.base import INTERMEDIATES, Capabilities, Feeds, Injection, Session
from aligner.adapters.batches import batches
from aligner.adapters.border import no_such_value, reading
from aligner.adapters.executorch_adapter.cutting import cut_program
from aligner.adapters.executorch_adapter.engine import holder_of, load, to_tensor, version
from aligner.adapters.executorch_adapter.graph import build_graph, constant_of, signature_of
from aligner.adapters.executorch_adapter.grids import grids_of
from aligner.adapters.executorch_adapter.program import read_program
from aligner.adapters.executorch_adapter.program_file import ProgramFile, bytes_of, dtype_word
from aligner.adapters.fed import check_dtype, check_injected, check_names, check_shape
from aligner.errors import UnsupportedModelError, listing
from aligner.records.array import Array
from aligner.records.graph import Graph, Shape, Signature
from aligner.records.tensor import CapturedTensor


class ExecuTorchSession(Session):
    """One method of one program; every run loads it anew, so that each starts from the same state."""

    framework: ClassVar[str] = "executorch"
    capabilities = Capabilities(reads_statically=True, predicts_aside=True, observes_faithfully=True)

    def __init__(self, file: ProgramFile, memory_limit: int | None = None, *, wide: bool = False) -> None:
        self._file, self._budget, self._wide = file, memory_limit or INTERMEDIATES, wide
        with reading("the program"):
            self._program = read_program(file)
            self._grids = grids_of(self._program, self._constant)
        self._places = {name: place for place, name in (*self._program.names.items(), *self._program.weights.items())}
        self._graphs: dict[tuple[tuple[int, ...], ...], Graph] = {}
        self._last: tuple[object, bytes] | None = None
        self._lock = threading.Lock()

    @property
    def runtime(self) -> str:
        """ "ExecuTorch 1.5.1 (cpu)"."""
        return f"ExecuTorch {version()} (cpu)"

    @property
    def notes(self) -> tuple[str, ...]:
        """What cannot be looked into."""
        if self._program.whole:
            return (f"the program is compared as a whole: {self._program.whole}",)
        inside = [step.op.partition("::")[2] for step in self._program.steps if step.op.startswith("delegate::")]
        if not inside:
            return ()
        return (f"{len(inside)} delegate(s) are compared as a whole: {listing(dict.fromkeys(inside))}",)

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self._program)

    def graph(self, feeds: Feeds | None) -> Graph:
        """The instructions; with feeds, shapes that depend on theirs are known."""
        dynamic = any(self._program.values[place].shape_dynamism.name != "STATIC" for place in self._program.names)
        fed = self._bound(feeds) if feeds is not None and dynamic else None
        key = () if fed is None else tuple(array.shape for array in fed.values())
        if key not in self._graphs:
            shapes: Mapping[str, Shape] = {}
            if fed is not None:
                shapes = {tensor.value: tensor.array.shape for tensor in self.run(fed)}
            with reading("the program"):
                self._graphs[key] = build_graph(self._file, self._program, shapes, self._grids)
        return self._graphs[key]

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        fed = self._bound(feeds)
        results = load(self._file.data, self._file.method.name).run(self._in_order(self._program.inputs, fed.values()))
        found = dict(zip(self._file.method.outputs, results, strict=True))
        return tuple(self._captured(place, found[place]) for place in self._program.outputs)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Inputs first; then what the instructions compute, in parts that fit the memory limit."""
        fed = self._bound(feeds)
        wanted = [self._place(name, "observe") for name in observe] if observe is not None else self._all()
        for name in inject or ():
            self._place(name, "inject")
        return self._results(fed, set(wanted), {} if inject is None else inject)

    def _all(self) -> list[int]:
        return [*self._program.names, *(place for place in self._program.outputs if place in self._program.weights)]

    def _results(self, fed: dict[str, Array], wanted: set[int], inject: Injection) -> Iterator[CapturedTensor]:
        program = self._program
        for place in program.inputs:
            if place in wanted:
                yield self._captured(place, fed[program.names[place]])
        for place in program.weights:
            if place in wanted:
                yield self._captured(place, self._constant(place))
        rest = [place for place in program.names if place in wanted and place not in program.inputs]
        if program.whole:
            if rest:
                outputs = {tensor.value: tensor for tensor in self.predict(self._instead(fed, inject))}
                yield from (outputs[program.names[place]] for place in rest)
            return
        for part in self._parts(rest):
            yield from map(self._captured, part, self._part(fed, part, inject))

    def _instead(self, fed: dict[str, Array], inject: Injection) -> dict[str, Array]:
        """What a program that is one step reads: its inputs, or what is injected for them."""
        given = self._given([self._places[name] for name in fed if name in inject], inject)
        return fed | {self._program.names[place]: array for place, array in given.items()}

    def _part(self, fed: Mapping[str, Array], part: Sequence[int], inject: Injection) -> list[Array]:
        program = self._program
        read = {place for step in program.needed(part, ()) for place in program.reads(step)}
        given = self._given([place for name in inject if (place := self._places[name]) in read], inject)
        held = {place: array for place in part if (array := self._held(place, fed, given)) is not None}
        shown = [place for place in part if place not in held]
        if shown:
            shapes = {place: array.shape for place, array in given.items()}
            key = tuple(shown), tuple(shapes.items())
            with self._lock:
                if self._last is None or self._last[0] != key:
                    self._last = key, cut_program(self._file, program, shown, shapes)
                data = self._last[1]
            fed_in_order = self._in_order([*program.inputs, *given], [*fed.values(), *given.values()])
            held |= dict(zip(shown, load(data, self._file.method.name).run(fed_in_order), strict=True))
        return [held[place] for place in part]

    def _held(self, place: int, fed: Mapping[str, Array], given: Mapping[int, Array]) -> Array | None:
        """A view of what is stored, fed or given, which has no memory of its own in the program; None for all else."""
        source = self._program.sources.get(place)
        if source is None:
            return None
        if source in given:
            below: Array | None = given[source]
        elif source in self._program.inputs and self._program.values[source].allocation_info is None:
            below = fed[self._program.names[source]]
        elif source in self._program.weights:
            below = self._constant(source)
        else:
            below = self._held(source, fed, given)
        if below is None:
            return None
        shape = tuple(self._program.values[place].sizes)
        if self._program.values[place].shape_dynamism.name != "STATIC":
            if not given:
                raise UnsupportedModelError(
                    "a view of changing shape cannot be looked at where what it shows is fed",
                    found=self._program.name_of(place),
                    hint="write the program with inputs in its memory plan (alloc_graph_input=True)",
                )
            shape = self.graph(fed).values[self._program.names[place]].shape or shape
        return below.reshape(shape)

    def _given(self, places: Sequence[int], inject: Injection) -> dict[int, Array]:
        """What is injected for these values, as far as the injection has it."""
        given: dict[int, Array] = {}
        for place in places:
            tensor, name = self._program.values[place], self._program.name_of(place)
            with suppress(KeyError):  # the injection offers it and has none for this run
                array = np.asarray(inject[name])
                fits = len(array.shape) == len(tensor.sizes) and all(map(self._fits(tensor), array.shape, tensor.sizes))
                check_injected(name, array, fits=fits, wanted=f"{dtype_word(tensor)} {list(tensor.sizes)}")
                given[place] = array
        for step in self._program.steps:
            if step.number is None and step.arguments[0] in given:  # nothing would carry it to what lies in its memory
                view = step.writes[0]
                given.setdefault(view, given[step.arguments[0]].reshape(tuple(self._program.values[view].sizes)))
        return given

    @staticmethod
    def _fits(tensor: Any) -> Callable[[int, int], bool]:
        return operator.eq if tensor.shape_dynamism.name == "STATIC" else operator.le

    def _in_order(self, places: Sequence[int], arrays: Iterable[Array]) -> list[Any]:
        return [to_tensor(array, self._program.values[place]) for place, array in zip(places, arrays, strict=True)]

    def _constant(self, place: int) -> Array:
        tensor = self._program.values[place]
        return constant_of(self._file.stored(tensor), tensor)

    def _parts(self, places: Sequence[int]) -> Iterator[list[int]]:
        """Values in the order of their instructions, as many at once as there is room for."""
        return batches(((place, bytes_of(self._program.values[place])) for place in places), self._budget)

    def _place(self, name: str, verb: str) -> int:
        place = self._places.get(name)
        if place is None or (verb == "inject" and place in self._program.weights):
            raise no_such_value(name, verb)
        return place

    def _bound(self, feeds: Feeds) -> dict[str, Array]:
        """The arrays in the order of the inputs."""
        check_names(self.signature.inputs, feeds)
        fed = {spec.name: np.asarray(feeds[spec.name]) for spec in self.signature.inputs}
        for spec, place in zip(self.signature.inputs, self._program.inputs, strict=True):
            tensor = self._program.values[place]
            holder = holder_of(tensor)
            if self._wide and fed[spec.name].dtype.kind == "f":
                fed[spec.name] = fed[spec.name].astype(holder)
            array = fed[spec.name]
            check_dtype(spec, array.dtype, fits=array.dtype == holder, wanted=holder)
            fits = array.ndim == len(tensor.sizes) and all(map(self._fits(tensor), array.shape, tensor.sizes))
            check_shape(spec, array.shape, fits=fits, why=f"at most {list(tensor.sizes)}")
        return fed

    def _captured(self, place: int, array: Array) -> CapturedTensor:
        owned = np.array(array, order="C")
        owned.flags.writeable = False
        return CapturedTensor(
            self._program.name_of(place), owned, dtype_word(self._program.values[place]), self._grids.get(place)
        )

    def in_float64(self) -> Session:
        """The same program of doubles; what its kernels do not compute in these fails as it runs."""
        from aligner.adapters.executorch_adapter.float64 import widened

        why = self._program.whole or ("it computes on grids of integers" if self._grids else "")
        if why:
            raise UnsupportedModelError("the program cannot be run in float64", found=why, hint="compare it as it is")
        return ExecuTorchSession(widened(self._file), self._budget, wide=True)

    def close(self) -> None:
        self._last = None
