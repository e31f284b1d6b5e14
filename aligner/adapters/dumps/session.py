"""A dump as a side of a comparison: its numbers, and the graph, shapes and true names of the model that it is of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from aligner.adapters.base import Capabilities, Session
from aligner.adapters.dumps.dump import Dump, DumpedTensor, KnownStatistics, size_of
from aligner.adapters.dumps.layout import LAYOUTS, Channels, laid, majority, nearer, says
from aligner.adapters.dumps.names import match, may_hold
from aligner.adapters.dumps.numbers import numbers, stored_dtype
from aligner.adapters.dumps.other_input import OtherInput, other_input
from aligner.adapters.dumps.own_model import OwnModel, as_stored
from aligner.errors import AlignerError, InputError, ModelFormatError, listing
from aligner.operations.kinds import SOURCES
from aligner.records.graph import Graph, Node, Signature, Value
from aligner.records.tensor import CapturedTensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from aligner.adapters.base import Feeds, Injection

    Array = NDArray[Any]

_ASKED = 8
"""Tensors by which a model says how a dump that tells no shapes is laid out; each is one vote."""


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
        self._channels: Channels | None = None
        self._notes: tuple[str, ...] = ()
        self._own: OwnModel | None = None
        self._told(model)

    def _told(self, model: Model | None) -> None:
        if model is None:
            return
        self.framework = f"recording of {model.session.framework}"  # type: ignore[misc]

    @property
    def capabilities(self) -> Capabilities:
        """What its model can do for it."""
        if self._model is None:
            return Capabilities(can_inject=False)
        of = self._model.session.capabilities
        return Capabilities(
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
        recorded = self._inputs()
        return Signature(
            tuple(replace(spec, required=False) if spec.name in recorded else spec for spec in signature.inputs),
            signature.outputs,
        )

    def recorded_feeds(self) -> Mapping[str, Array]:
        """The arrays that the model was fed there, by input name, in the model's layout."""
        if self._model is None:
            return {}
        specs = {spec.name: spec for spec in self._model.session.signature.inputs}
        channels = self._guessed()
        found = {}
        for name, place in self._inputs().items():
            value = Value(name, name, specs[name].shape, specs[name].dtype, quantization=specs[name].quantization)
            tensor = self._dump.tensors[place]
            shape = _known(value, tensor)
            order = LAYOUTS.get(self._layout or "") or self._channels
            if order is None and shape is not None and _is_flat(tensor, shape) and laid_differently(shape):
                continue  # nobody knows yet how it lies, so it is compared as any tensor is, and not fed
            order = order or (says(tensor.shape, shape, channels) if shape is not None else None) or channels
            found[name] = self._tensor(place, value, channels, order).array
        return found

    def _inputs(self) -> dict[str, int]:
        """The places of the dump's tensors that are inputs of the model."""
        assert self._model is not None
        specs = self._model.session.signature.inputs
        graph = Graph(
            framework="",
            nodes=(),
            values={spec.name: Value(spec.name, spec.name, spec.shape, spec.dtype) for spec in specs},
            weights={},
            inputs=tuple(spec.name for spec in specs),
            outputs=(),
        )
        tensors = self._dump.tensors
        return {
            name: place
            for name, place in match(tensors, graph).places.items()
            if tensors[place].statistics is None and self._can_read(place, graph.values[name])
        }

    def _can_read(self, place: int, value: Value) -> bool:
        """Whether the dump's own words, or the model's, say what its bytes are."""
        tensor = self._dump.tensors[place]
        return tensor.shape is not None or stored_dtype(tensor, value) is not None

    def _guessed(self) -> Channels:
        """Where the model keeps channels, before its graph is read."""
        assert self._model is not None
        return "last" if self._model.session.framework in {"tflite", "keras"} else "first"

    def _layout_of(self, channels: Channels) -> Channels:
        return LAYOUTS.get(self._layout or "", self._channels or channels)

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
        graph = _with_shapes(graph, model.session, feeds, matched.places)
        tensors = self._dump.tensors
        misfits = [v for v, place in matched.places.items() if not may_hold(tensors[place], graph.values[v].shape)]
        computed = {value for node in graph.nodes if node.kind not in SOURCES for value in node.outputs}
        if 2 * len(misfits) > len(matched.places) or not computed & matched.places.keys():
            if not model.stated:
                self._model = None
                self.framework = "recording"  # type: ignore[misc]
                return self._plain()
            raise self._of_another(model, graph, matched.places, misfits)
        readable = {v: place for v, place in matched.places.items() if self._can_read(place, graph.values[v])}
        self._places = _in_order(graph, readable)
        self._channels = self._found_layout(graph, model, feeds)
        self._notes = (*matched.notes(model.name), *self._layout_notes(graph), *self._missing(graph, model))
        if len(readable) < len(matched.places):
            shapeless = listing(graph.values[value].name for value in matched.places if value not in readable)
            self._notes += (f"neither the dump nor {model.name} tells the shape of: {shapeless}; left out",)
        outputs = tuple(value for value in graph.outputs if value in self._places)
        read = replace(graph, values=MappingProxyType(self._values(graph)), outputs=outputs)
        self._own = self._run_here(model, graph, read, feeds)
        return read

    def _run_here(self, model: Model, own: Graph, read: Graph, feeds: Feeds | None) -> OwnModel | None:
        """The model that the user named, where it runs and the recorded tensors can stand in the place of its own."""
        if (
            not feeds
            or self.statistics
            or not model.stated
            or model.borrowed
            or not model.session.capabilities.can_inject
        ):
            return None
        order = self._layout_of(read.channels)
        turned = self._recorded(read, "last" if order == "first" else "first") if self._layout is None else {}
        found = OwnModel(model.session, own, feeds, self._recorded(read, order), turned)
        if not found.fits:
            told = f"{model.name} cannot be run here on what was recorded, so the reference's nodes are: {found.misfit}"
            self._notes = (*self._notes, told)
            return None
        self._notes = (*self._notes, *found.notes(own, model.name))
        return found

    def other_input(self, feeds: Feeds) -> OtherInput | None:
        """The input that the dump was made from, where it holds none and that given cannot have been it."""
        graph = self.graph(feeds)
        if self._model is None or self.statistics or self._inputs() or not self._model.session.capabilities.can_inject:
            return None
        own = self._own
        if own is None:
            model = self._model.session
            fed = self._feeds(feeds)
            own = OwnModel(model, model.graph(fed), fed, self._recorded(graph, self._layout_of(graph.channels)))
        return other_input(own) if own.fits else None

    def _recorded(self, graph: Graph, order: Channels) -> dict[str, Callable[[], CapturedTensor]]:
        """Readers of what was recorded, for tensors that lie so."""
        return {
            name: partial(self._tensor, place, graph.values[name], graph.channels, order)
            for name, place in self._places.items()
            if name not in graph.inputs
        }

    def _of_another(
        self, model: Model, graph: Graph, places: Mapping[str, int], misfits: list[str]
    ) -> ModelFormatError:
        tensors = self._dump.tensors
        if misfits:
            found = listing(
                f"{tensors[places[v]].name} {_spoken(tensors[places[v]])}, in the model {graph.values[v].shape}"
                for v in misfits
            )
            hint = "dump again with the input size of the comparison, or name the model that was dumped"
        else:
            names = listing(value.name for value in graph.values.values() if value.id not in graph.weights)
            found = f"in the dump: {listing(tensor.name for tensor in tensors)}; in the model: {names}"
            hint = "name the model that was dumped, or pair the tensors with --map and leave --dump-of out"
        return ModelFormatError(f"{self._dump.path} is no dump of {model.name}", found=found, hint=hint)

    def _values(self, graph: Graph) -> dict[str, Value]:
        """The model's values, of those that were recorded what was recorded."""
        values = dict(graph.values)
        for name, place in self._places.items():
            tensor, value = self._dump.tensors[place], values[name]
            dtype = tensor.dtype or stored_dtype(tensor, value)
            integers = dtype is not None and dtype.startswith(("int", "uint"))
            quantization = tensor.quantization or (value.quantization if integers else None)
            known = (value.id, value.name, *value.aliases)
            aliases = value.aliases if tensor.name in known else (*value.aliases, tensor.name)
            shape = _known(value, tensor)
            shape = tensor.shape if shape is None else shape
            values[name] = replace(
                value, dtype=dtype or value.dtype, quantization=quantization, aliases=aliases, shape=shape
            )
        return values

    def _found_layout(self, graph: Graph, model: Model, feeds: Feeds | None) -> Channels | None:
        """What the shapes say, else what the model's own tensors say where shapes are not told."""
        if self._layout is not None:
            return None
        shapes = {n: _known(graph.values[n], self._dump.tensors[place]) for n, place in self._places.items()}
        said = majority(
            says(self._dump.tensors[place].shape, shape, graph.channels)
            for name, place in self._places.items()
            if (shape := shapes[name]) is not None and graph.varies(name)  # weights lie as they like
        )
        open_ones = [name for name, place in self._places.items() if _is_flat(self._dump.tensors[place], shapes[name])]
        if said is not None or not open_ones:
            return said
        return self._asked(graph, model, feeds, open_ones)

    def _asked(self, graph: Graph, model: Model, feeds: Feeds | None, names: list[str]) -> Channels | None:
        """Run the model and see in which order the first tensors with channels are its own."""
        other: Channels = "last" if graph.channels == "first" else "first"
        telling = [
            name for name in names if laid_differently(_known(graph.values[name]) or ()) and name not in graph.inputs
        ][:_ASKED]
        if not telling or not feeds:
            return None
        votes: list[Channels | None] = []
        for own in model.session.run(feeds, telling):
            if own.occurrence:
                continue
            value = graph.values[own.value]
            orders: tuple[Channels, Channels] = graph.channels, other
            one, two = (self._tensor(self._places[own.value], value, graph.channels, order).real() for order in orders)
            found = nearer(one, two, own.real())
            votes.append(None if found is None else orders[found])
        return majority(votes)

    def _layout_notes(self, graph: Graph) -> Iterator[str]:
        if self._layout is None and self._channels not in {None, graph.channels}:
            yield (
                f"the dump was read with channels {self._channels}, its model has them {graph.channels}: "
                "so say most of its tensors (--dump-layout tells)"
            )

    def _missing(self, graph: Graph, model: Model) -> Iterator[str]:
        lost = [graph.values[v].name if v in graph.values else v for v in graph.outputs if v not in self._places]
        if lost:
            yield f"the dump lacks outputs of {model.name}: {listing(lost)}"

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
        if inject and self._own is not None:
            return self._own.run(self._feeds(feeds), graph.values.keys() if observe is None else observe, inject)
        if inject and self._model is not None and self.capabilities.computes_for_others:
            return self._model.session.run(self._feeds(feeds), observe, inject)
        if inject:
            raise InputError(
                "nothing can be injected into a recording",
                found=listing(inject),
                hint="give the model itself to measure local errors",
            )
        unknown = sorted(set(observe or ()) - graph.values.keys() - graph.weights.keys())
        if unknown:
            raise InputError(
                "the recording has no such value", found=listing(unknown), hint="align inspect lists its values"
            )
        return self._replay(None if observe is None else frozenset(observe))

    def _feeds(self, feeds: Feeds) -> Feeds:
        """What the model is fed: what was recorded, else what is given, each in the type that it takes."""
        assert self._model is not None
        fed = {**cast("Mapping[str, Any]", self.recorded_feeds()), **feeds}
        specs = {spec.name: spec for spec in self._model.session.signature.inputs}
        return {name: as_stored(array, specs.get(name)) for name, array in fed.items()}

    def _replay(self, wanted: frozenset[str] | None) -> Iterator[CapturedTensor]:
        graph = self.graph(None)
        if self._own is not None:
            yield from self._own.replay(wanted)
            return
        for name, place in self._places.items():
            if wanted is None or name in wanted:
                yield self._tensor(place, graph.values[name], graph.channels, self._layout_of(graph.channels))

    def _tensor(self, place: int, value: Value, channels: Channels, dumped: Channels) -> CapturedTensor:
        tensor = self._dump.tensors[place]
        shape = _known(value, tensor)
        array, dtype = numbers(tensor, self._dump.read(place), value, self._dump.path)
        if shape is not None:
            array = laid(array, shape, channels, dumped)
        integers = array.dtype.kind in "iu"
        quantization = tensor.quantization or (value.quantization if integers else None)
        array.flags.writeable = False
        return CapturedTensor(value.id, array, dtype, quantization)

    def close(self) -> None:
        """Release the dump, and the model where it was opened for it."""
        self._dump.close()
        if self._model is not None and not self._model.borrowed:
            self._model.session.close()


def _with_shapes(graph: Graph, session: Session, feeds: Feeds | None, wanted: Collection[str]) -> Graph:
    """The graph with the shapes that only a run tells, of the values that were recorded."""
    unknown = [value for value in wanted if _known(graph.values[value]) is None and graph.producer(value) is not None]
    if not unknown or not feeds:
        return graph
    values = dict(graph.values)
    with suppress(AlignerError):  # a value that no run shows keeps the shape it has
        for tensor in session.run(feeds, unknown):
            if not tensor.occurrence:
                values[tensor.value] = replace(values[tensor.value], shape=tuple(tensor.array.shape))
    return replace(graph, values=MappingProxyType(values))


def _is_flat(tensor: DumpedTensor, shape: tuple[int, ...] | None) -> bool:
    """Whether a dump keeps the numbers of a tensor and not its axes."""
    return bool(shape) and (tensor.shape is None or len(tensor.shape) == 1 < len(shape or ()))


def laid_differently(shape: tuple[int, ...]) -> bool:
    """Whether a tensor of that shape has channels and something else to stand before or behind."""
    return len(shape) in {4, 5} and sum(size > 1 for size in shape[1:]) > 1


def _in_order(graph: Graph, places: Mapping[str, int]) -> dict[str, int]:
    """The recorded values in the order in which the model computes them."""
    order = [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]
    return {value: places[value] for value in dict.fromkeys([*order, *places]) if value in places}


def _known(value: Value, tensor: DumpedTensor | None = None) -> tuple[int, ...] | None:
    """The value's shape; one size that the model leaves open is what the dumped numbers make of it."""
    if value.shape is None:
        return None
    sizes = [size for size in value.shape if size is not None]
    if len(sizes) == len(value.shape):
        return tuple(sizes)
    if tensor is None or tensor.shape is None or len(sizes) + 1 < len(value.shape) or 0 in sizes:
        return None
    count, rest = divmod(size_of(tensor.shape), size_of(sizes))
    return None if rest else tuple(count if size is None else size for size in value.shape)


def _spoken(tensor: DumpedTensor) -> str:
    return f"{tensor.nbytes} bytes" if tensor.shape is None else str(list(tensor.shape))
