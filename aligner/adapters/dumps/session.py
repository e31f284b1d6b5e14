"""A dump as a side of a comparison: its numbers, and the graph, shapes and true names of the model that it is of."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any, cast

from aligner.adapters.base import Capabilities, Feeds, Injection, Session
from aligner.adapters.dumps.dump import Dump, KnownStatistics
from aligner.adapters.dumps.identification import Identification
from aligner.adapters.dumps.layout import LAYOUTS, Channels, Order
from aligner.adapters.dumps.names import Matched, match, spoken_size
from aligner.adapters.dumps.other_input import OtherInput, other_input
from aligner.adapters.dumps.own_model import OwnModel
from aligner.adapters.dumps.padded_rows import unpadded
from aligner.adapters.dumps.reading import Reading, known_shape
from aligner.adapters.dumps.recorded import as_stored, decoded
from aligner.adapters.recording_adapter.fed import check_asked
from aligner.errors import AlignerError, ModelFormatError, listing
from aligner.operations.kinds import SOURCES, VIEWS
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, InputSpec, Node, Signature, Value
from aligner.records.tensor import CapturedTensor


@dataclass(frozen=True, slots=True)
class Model:
    """What a dump is of: a session to ask, what to call it, and names of tensors that the user has paired.

    ``stated``: the user said so, and a dump of something else is an error; else it is only tried. ``borrowed`` sessions
    belong to somebody else.
    """

    session: Session
    name: str
    stated: bool = True
    borrowed: bool = False
    pairs: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class DumpSession(Session):
    """Replays a dump. Without a model it is a list of tensors; what it computes, the model of another side may know."""

    framework = "recording"

    def __init__(self, dump: Dump, model: Model | None = None, layout: str | None = None) -> None:
        self._dump, self._model, self._layout = dump, model, layout
        self._graph: Graph | None = None
        self._places: dict[str, int] = {}
        self._reading: Reading | None = None
        self._notes: tuple[str, ...] = ()
        self._own: OwnModel | None = None
        self.lost: tuple[str, ...] = ()
        """Names of the model's outputs that the dump lacks."""
        self.colliding: tuple[str, ...] = ()
        """Names of tensors of which nothing tells which one is the value that they are called like."""
        self._told(model)

    def _told(self, model: Model | None) -> None:
        if model is None:
            return
        self.framework = f"recording of {model.session.framework}"  # type: ignore[misc]

    @property
    def capabilities(self) -> Capabilities:
        """What its model can do for it."""
        if self._model is None:
            return Capabilities(computes=False, can_inject=False)
        of = self._model.session.capabilities
        return Capabilities(
            computes=False,
            can_inject=self._own is not None,
            computes_for_others=not self._model.borrowed and of.can_inject,
            reads_statically=of.reads_statically,
            channels=of.channels,
        )

    @property
    def knows_its_model(self) -> bool:
        """Whether somebody has said what model this is a dump of."""
        return self._model is not None

    @property
    def statistics(self) -> dict[str, KnownStatistics]:
        """What is known of each value where the dump holds statistics and no tensors; empty for all others."""
        known = {name: self._dump.tensors[place].statistics for name, place in self._places.items()}
        return {name: one for name, one in known.items() if one is not None}

    def try_model(self, session: Session, name: str, pairs: Mapping[str, str]) -> None:
        """Read the dump as one of a model that another side has opened, as far as the names are its; ``pairs`` help."""
        self._model = Model(session, name, stated=False, borrowed=True, pairs=pairs)
        self._told(self._model)

    @property
    def runtime(self) -> str:
        """What wrote the dump, and whose names it was read by."""
        return f"replay of {self._dump.writer}" if self._model else "replay"

    @property
    def notes(self) -> tuple[str, ...]:
        """What was made of the names and the layout."""
        return (*self._dump.notes, *self._notes)

    @property
    def signature(self) -> Signature:
        """The model's inputs; none that is recorded has to be fed again."""
        if self._model is None:
            return Signature((), ())
        signature = self._model.session.signature
        recorded = self._inputs_read().values()
        kept = self._inputs_read().places
        return Signature(
            tuple(_as_recorded(spec, recorded[spec.name]) if spec.name in kept else spec for spec in signature.inputs),
            signature.outputs,
        )

    def recorded_feeds(self) -> Mapping[str, Array]:
        """The arrays that the model was fed there, by input name, in the model's layout."""
        reading = self._inputs_read()
        # while nobody knows how one lies it is compared as any tensor is, and not fed
        return {name: reading.tensor(name).array for name in reading.places if not reading.is_open(name)}

    def _inputs_read(self) -> Reading:
        """The dump's tensors that are inputs of the model."""
        specs = () if self._model is None else self._model.session.signature.inputs
        graph = Graph(
            framework="",
            nodes=(),
            values={s.name: Value(s.name, s.name, s.shape, s.dtype, quantization=s.quantization) for s in specs},
            weights={},
            inputs=tuple(spec.name for spec in specs),
            outputs=(),
            channels=self._guessed(),
        )
        tensors = self._dump.tensors
        places = {n: place for n, place in match(tensors, graph).places.items() if tensors[place].statistics is None}
        if self._reading is None:
            return Reading(self._dump, graph, places, self._told_order)
        return Reading(self._dump, graph, places, self._reading.order)

    @property
    def _told_order(self) -> Order | None:
        return LAYOUTS.get(self._layout or "")

    def _guessed(self) -> Channels:
        """Where the model keeps channels, before its graph is read."""
        return "last" if self._model is not None and self._model.session.framework in {"tflite", "keras"} else "first"

    def graph(self, feeds: Feeds | None) -> Graph:
        """The model's graph with what was recorded; the bare list of tensors where there is no model."""
        if self._graph is None:
            self._graph = self._plain() if self._model is None else self._read(self._model, feeds)
        return self._graph

    def _plain(self) -> Graph:
        names = [tensor.name for tensor in self._dump.tensors]
        if len(set(names)) < len(names):
            names = [f"{name}#{place}" if names.index(name) != place else name for place, name in enumerate(names)]
        self._places = {name: place for place, name in enumerate(names)}
        values = {}
        for name, tensor in zip(names, self._dump.tensors, strict=True):
            if tensor.shape is None:
                raise ModelFormatError(
                    f"{self._dump.path} tells neither shapes nor types of its tensors",
                    found=f"{self._dump.writer}: {listing(names)}",
                    hint="say what model it is a dump of: --dump-of MODEL; or add a manifest.json: "
                    '{"NAME": {"file": "NAME.raw", "dtype": "float32", "shape": [1, 3, 8, 8]}}',
                )
            values[name] = Value(name, name, tensor.shape, tensor.dtype, quantization=tensor.quantization)
        return Graph(
            framework="recording",
            nodes=tuple(Node(n, name, "tensor", "opaque", (), (name,)) for n, name in enumerate(names)),
            values=MappingProxyType(values),
            weights=MappingProxyType({}),
            inputs=(),
            outputs=(names[-1],),
            notes=(
                "The file names tensors and says nothing of a graph: they are taken in the order of the file.",
                *self._dump.notes,
            ),
        )

    def _read(self, model: Model, feeds: Feeds | None) -> Graph:
        feeds = None if feeds is None else self._feeds(feeds)
        graph = model.session.graph(feeds)
        specs = model.session.signature.inputs
        fed = {s.name: v for s, v in zip(specs, graph.inputs, strict=True)} if len(specs) == len(graph.inputs) else {}
        matched = match(self._dump.tensors, graph, {**fed, **model.pairs})
        if matched.other_sizes and (plain := unpadded(self._dump, graph)) is not None:
            self._dump = plain
            matched = match(plain.tensors, graph, {**fed, **model.pairs})
        seek = bool(feeds) and model.stated and not model.borrowed and bool(matched.left)
        unsure = {value for values in matched.rivals.values() for value in values}
        wanted = graph.values.keys() if seek else {*matched.places, *unsure}
        graph = _with_shapes(graph, model.session, feeds, wanted)
        reading = self._reading_of(graph, matched, model, feeds)
        computed = {value for node in graph.nodes if node.kind not in SOURCES for value in node.outputs}
        fits = 2 * len(reading.misfits) <= len(matched.places)
        if fits and feeds:
            left = {**dict.fromkeys(matched.left if seek else (), ()), **matched.rivals}
            found = Identification(model.session, feeds, self._dump, reading, left)
            found.run()
            if found.places or found.copies:
                matched = matched.with_more(found.places, found.copies, self._dump.tensors)
                reading = self._reading_of(graph, matched, model, feeds)
            reading.settle_orders({name: order for name, order in found.orders.items() if name in reading.places})
        if not fits or not computed & matched.places.keys():
            if not model.stated:
                self._model = None
                if not matched.places:
                    names = listing(tensor.name for tensor in self._dump.tensors)
                    self._notes = (f"no tensor of the dump is called as one of {model.name}: {names}; say --dump-of",)
                self.framework = "recording"  # type: ignore[misc]
                return self._plain()
            raise self._of_another(model, graph, matched, reading.misfits)
        if not reading.holds_numbers():
            raise self._never_filled(graph, reading)
        self._places, self._reading = reading.places, reading
        self._notes = (*matched.notes(model.name), *reading.notes(model.name))
        self.colliding = matched.ambiguous
        self._own = self._run_here(model, graph, reading, feeds)
        for value in self._own.overwritten if self._own is not None else ():
            del reading.places[value]
        outputs = tuple(value for value in graph.outputs if value in self._places or self._is_view(graph, value))
        self.lost = tuple(graph.values[v].name if v in graph.values else v for v in graph.outputs if v not in outputs)
        if self.lost:
            self._notes = (*self._notes, f"the dump lacks outputs of {model.name}: {listing(self.lost)}")
        return replace(graph, values=MappingProxyType(reading.values()), outputs=outputs)

    def _is_view(self, graph: Graph, value: str) -> bool:
        """Whether a value that was not recorded has the numbers of one that was, at other places if any."""
        region = graph.region(self._places.keys(), value)
        read = {name for node in region for name in node.inputs}
        moves = all(node.kind in VIEWS | SOURCES for node in region)
        return self._own is not None and bool(region) and moves and bool(read & self._places.keys() - {*graph.inputs})

    def _reading_of(self, graph: Graph, matched: Matched, model: Model, feeds: Feeds | None) -> Reading:
        places = _in_order(graph, matched.places)
        reading = Reading(self._dump, graph, places, self._told_order, matched.later)
        if 2 * len(reading.misfits) <= len(places):
            reading.settle(model.session, feeds)
        return reading

    def _run_here(self, model: Model, own: Graph, reading: Reading, feeds: Feeds | None) -> OwnModel | None:
        """The model that the user named, where it runs and the recorded tensors can stand in the place of its own."""
        if (
            not feeds
            or self.statistics
            or not model.stated
            or model.borrowed
            or not model.session.capabilities.can_inject
        ):
            return None
        found = OwnModel(model.session, own, feeds, reading.recorded(), reading.judge_as)
        if not found.fits:
            told = f"{model.name} cannot be run here on what was recorded, so the reference's nodes are: {found.misfit}"
            self._notes = (*self._notes, told)
            return None
        self._notes = (*self._notes, *found.notes(own, model.name))
        return found

    def other_input(self, feeds: Feeds) -> OtherInput | None:
        """The input that the dump was made from, where it holds none and that given cannot have been it."""
        self.graph(feeds)
        reading = self._reading
        if self._model is None or reading is None or self.statistics or self._inputs_read().places:
            return None
        model, own = self._model.session, self._own
        if own is None and model.capabilities.can_inject:
            fed = self._feeds(feeds)
            own = OwnModel(model, model.graph(fed), fed, reading.recorded())
        return other_input(own) if own is not None and own.fits else None

    def _of_another(self, model: Model, graph: Graph, matched: Matched, misfits: list[str]) -> ModelFormatError:
        tensors, places = self._dump.tensors, matched.places
        sizes = [
            f"{tensors[places[v]].name} {spoken_size(tensors[places[v]])}, in the model {graph.values[v].shape}"
            for v in misfits
        ]
        if sizes or matched.other_sizes:
            found = listing([*sizes, *matched.other_sizes])
            hint = "dump again with the input size of the comparison, or name the model that was dumped"
        else:
            names = listing(value.name for value in graph.values.values() if value.id not in graph.weights)
            found = f"in the dump: {listing(tensor.name for tensor in tensors)}; in the model: {names}"
            hint = "name the model that was dumped, or pair the tensors with --map and leave --dump-of out"
        return ModelFormatError(f"{self._dump.path} is no dump of {model.name}", found=found, hint=hint)

    def _never_filled(self, graph: Graph, reading: Reading) -> ModelFormatError:
        names = [graph.values[name].name for name in reading.places if name not in graph.inputs]
        return ModelFormatError(
            f"{self._dump.path} holds no finite number in any of its tensors",
            found=listing(names),
            hint="dump after the run has ended and its tensors were copied back; if the device gives nothing else from "
            "its first tensor on, look at what it was fed and at its weights, or dump the outputs alone",
        )

    def predict(self, feeds: Feeds) -> tuple[CapturedTensor, ...]:
        """The recorded outputs."""
        outputs = self.graph(feeds).outputs
        found = {tensor.value: tensor for tensor in self._replay(frozenset(outputs))}
        return tuple(found[name] for name in outputs)

    def run(
        self, feeds: Feeds, observe: Collection[str] | None = None, inject: Injection | None = None
    ) -> Iterator[CapturedTensor]:
        """Replay in the model's order; with something to inject, the model itself runs."""
        graph = self.graph(feeds)
        if inject and self._reading is not None:
            inject = decoded(inject, graph.values, self._reading.graph.values)
        if inject and self._own is not None:
            return self._own.run(self._feeds(feeds), graph.values.keys() if observe is None else observe, inject)
        if inject and self._model is not None and self.capabilities.computes_for_others:
            return self._model.session.run(self._feeds(feeds), observe, inject)
        check_asked(graph, observe, inject)
        return self._replay(None if observe is None else frozenset(observe))

    def _feeds(self, feeds: Feeds) -> Feeds:
        """What the model is fed: what was recorded, else what is given, each in the type that it takes."""
        assert self._model is not None
        fed = {**cast("Mapping[str, Any]", self.recorded_feeds()), **feeds}
        specs = {spec.name: spec for spec in self._model.session.signature.inputs}
        for spec in self.signature.inputs:
            code = spec.quantization if specs[spec.name].quantization is None else None
            if code is not None and spec.name in fed and fed[spec.name].dtype.kind in "iu":
                fed[spec.name] = code.dequantize(fed[spec.name])
        return {name: as_stored(array, specs.get(name)) for name, array in fed.items()}

    def _replay(self, wanted: frozenset[str] | None) -> Iterator[CapturedTensor]:
        graph = self.graph(None)
        if self._own is not None:
            yield from self._own.replay(wanted)
            return
        for name in self._places:
            if wanted is None or name in wanted:
                yield from [self._bare(graph.values[name])] if self._reading is None else self._reading.turns(name)

    def _bare(self, value: Value) -> CapturedTensor:
        """A tensor of a dump that nobody knows the model of."""
        array = self._dump.read(self._places[value.id])
        return CapturedTensor(value.id, array, value.dtype or array.dtype.name, value.quantization)

    def close(self) -> None:
        """Release the dump, and the model where it was opened for it."""
        self._dump.close()
        if self._model is not None and not self._model.borrowed:
            self._model.session.close()


def _as_recorded(spec: InputSpec, recorded: Value) -> InputSpec:
    """An input that need not be fed; where codes of few bits were recorded, they are what it takes."""
    if recorded.quantization is None or spec.quantization is not None:
        return replace(spec, required=False)
    return replace(spec, required=False, dtype=recorded.dtype or spec.dtype, quantization=recorded.quantization)


def _with_shapes(graph: Graph, session: Session, feeds: Feeds | None, wanted: Collection[str]) -> Graph:
    """The graph with the shapes that only a run tells, of the values that were recorded."""
    unknown = [
        value for value in wanted if known_shape(graph.values[value]) is None and graph.producer(value) is not None
    ]
    if not unknown or not feeds:
        return graph
    values = dict(graph.values)
    with suppress(AlignerError):  # a value that no run shows keeps the shape it has
        for tensor in session.run(feeds, unknown):
            if not tensor.occurrence:
                values[tensor.value] = replace(values[tensor.value], shape=tuple(tensor.array.shape))
    return replace(graph, values=MappingProxyType(values))


def _in_order(graph: Graph, places: Mapping[str, int]) -> dict[str, int]:
    """The recorded values in the order in which the model computes them."""
    order = [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]
    return {value: places[value] for value in dict.fromkeys([*order, *places]) if value in places}
