"""How the tensors of a dump are read as values of its model: which order, which type, which scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from aligner.adapters.base import Feeds, Session
from aligner.adapters.dumps.dump import Dump, DumpedTensor, size_of
from aligner.adapters.dumps.layout import Order, effective, fitting, laid, order_of, orders, says, settled, spoken
from aligner.adapters.dumps.numbers import nearer_half, numbers, storage_of, stored_dtype, ways
from aligner.errors import AlignerError, listing
from aligner.numerics.coded_steps import TELLING, step_of, step_of_few
from aligner.numerics.written_type import written_from
from aligner.operations.kinds import NESTED
from aligner.records.array import Array
from aligner.records.graph import Graph, Quantization, Value
from aligner.records.tensor import CapturedTensor

_ASKED = 8
"""Tensors by which a model says how a dump that tells no shapes is laid out; each is one vote."""
_CODES = ("int8", "uint8", "int16", "int4", "uint4")
"""Types of few bits: of a real tensor they are codes, which a scale makes numbers of."""


class Reading:
    """Tensors of a dump by the values that they are of: ``places``, in the order of the model.

    ``order``: how it lies where shapes do not say, told or found; None where nobody knows.
    """

    def __init__(
        self,
        dump: Dump,
        graph: Graph,
        places: Mapping[str, int],
        told: Order | None = None,
        later: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self._dump, self._told, self.order = dump, told, told
        self.orders: dict[str, Order] = {}
        """Of values whose tensors fit several orders, the one in which they were found to lie."""
        self._steps: dict[str, tuple[str, Quantization]] = {}
        """Of values that were codes before they were written as float32."""
        self.graph, self._later = graph, dict(later or {})
        matched = [(dump.tensors[place], self.shape(name, place)) for name, place in places.items()]
        self.storage = storage_of(ways(tensor, shape, graph.channels) for tensor, shape in matched)
        self.misfits = [
            name
            for (name, place), (tensor, _) in zip(places.items(), matched, strict=True)
            if not self.storage.explains(tensor, self.shape(name, place) or graph.values[name].shape, graph.channels)
        ]
        self.unreadable: dict[str, str] = {}
        self.places = {name: place for name, place in places.items() if self._can_read(name, place)}
        self._written: dict[str, str] | None = None

    def _can_read(self, name: str, place: int) -> bool:
        """Whether the dump's own words, or the model's, say what its bytes are."""
        tensor, dtype = self._dump.tensors[place], self._dtype(name, place)
        if tensor.statistics is not None:
            return True
        if tensor.shape is None and dtype is None:
            self.unreadable[name] = "neither the dump nor the model tells the shape of"
        elif dtype in _CODES and self._is_real(name) and self._scale(name, tensor, dtype) is None:
            self.unreadable[name] = "nothing tells the scale of the whole numbers (a manifest.json could) of"
        return name not in self.unreadable

    def _is_real(self, name: str) -> bool:
        return "float" in (self.graph.values[name].dtype or "float32") and name not in self.graph.inputs

    def shape(self, name: str, place: int | None = None) -> tuple[int, ...] | None:
        """The shape of a value, as far as the model and its dumped numbers tell."""
        place = self.places.get(name) if place is None else place
        value, tensor = self.graph.values[name], None if place is None else self._dump.tensors[place]
        found = known_shape(value, tensor)
        if found is not None or tensor is None or not value.shape or None in value.shape[1:]:
            return found
        alone = (1, *(size for size in value.shape[1:] if size is not None))  # a device runs one sample at a time
        return alone if ways(tensor, alone, self.graph.channels) else None

    def _dtype(self, name: str, place: int) -> str | None:
        tensor = self._dump.tensors[place]
        if tensor.shape is not None and tensor.dtype == "uint16" and self._is_real(name) and not tensor.quantization:
            return self.storage.half
        value = replace(self.graph.values[name], shape=self.shape(name, place))
        found = stored_dtype(tensor, value, self.graph.channels, self.storage)
        if found == "uint8" and tensor.dtype is None and self._is_real(name):
            return next((one.dtype for one in self._coded(name) if one.dtype in {"int8", "uint8"}), found)
        return found

    def _coded(self, name: str) -> list[Value]:
        """The codes that the model makes of a tensor, or has made it of."""
        maker = self.graph.producer(name)
        beside = [node.outputs[0] for node in self.graph.readers(name) if node.kind == "quantize"]
        beside += [maker.inputs[0]] if maker is not None and maker.kind == "dequantize" else []
        return [self.graph.values[one] for one in beside if one in self.graph.values]

    def _scale(self, name: str, tensor: DumpedTensor, dtype: str | None) -> Quantization | None:
        """What makes numbers of whole ones: the dump's own scale, the value's, or the one it is about to be given."""
        if name in self._steps:
            return self._steps[name][1]
        if dtype is None or not dtype.startswith(("int", "uint")):
            return tensor.quantization
        value = self.graph.values[name]
        if tensor.quantization or value.quantization or dtype not in _CODES:
            return tensor.quantization or value.quantization
        return next((one.quantization for one in self._coded(name) if one.quantization and one.dtype == dtype), None)

    def turns(self, name: str) -> Iterator[CapturedTensor]:
        """What was recorded of a value, each time that it was computed."""
        yield self.tensor(name)
        for turn, place in enumerate(self._later.get(name, ()), start=1):
            yield replace(self.tensor(name, place=place), occurrence=turn)

    def tensor(self, name: str, order: Order | None = None, place: int | None = None) -> CapturedTensor:
        """What was recorded of a value, in the model's shape; ``order`` in place of the dump's own."""
        place = self.places[name] if place is None else place
        value, channels = self.graph.values[name], self.graph.channels
        tensor, shape, dtype = self._dump.tensors[place], self.shape(name, place), self._dtype(name, place)
        array = numbers(tensor, self._dump.read(place), dtype, self._dump.path, value.shape)
        if shape is not None:
            found = self.orders.get(name, self.order) if order is None else order
            array = laid(array, shape, channels, order_of(channels) if found is None else found)
        if name in self._steps:
            dtype, scale = self._steps[name]
            array = scale.quantize(array, np.dtype(dtype))
        array.flags.writeable = False
        dtype = (self._written or {}).get(name) or dtype or array.dtype.name
        return CapturedTensor(value.id, array, dtype, self._scale(name, tensor, array.dtype.name))

    def recorded(self) -> dict[str, Callable[[], CapturedTensor]]:
        """Readers of what was recorded, the model's inputs apart."""
        return {name: partial(self.tensor, name) for name in self.places if name not in self.graph.inputs}

    def holds_numbers(self) -> bool:
        """Whether a tensor inside of the model has a finite number; outputs alone may well have none."""
        known = {name for name, tensor in self._tensors() if tensor.statistics is None}
        inner = [
            name for name in self.places if name in known and name not in {*self.graph.inputs, *self.graph.outputs}
        ]
        return not inner or any(bool(np.isfinite(self.tensor(name).array).any()) for name in inner)

    def values(self) -> dict[str, Value]:
        """The model's values, of those that were recorded what was recorded."""
        values = dict(self.graph.values)
        for name, place in self.places.items():
            tensor, value = self._dump.tensors[place], values[name]
            stored = self._steps[name][0] if name in self._steps else self._dtype(name, place)
            dtype = (self._written or {}).get(name) or stored or value.dtype
            known = (value.id, value.name, *value.aliases)
            aliases = value.aliases if tensor.name in known else (*value.aliases, tensor.name)
            shape = self.shape(name)
            values[name] = replace(
                value,
                dtype=dtype,
                quantization=self._scale(name, tensor, stored),
                aliases=aliases,
                shape=tensor.shape if shape is None else shape,
            )
        return values

    def is_open(self, name: str) -> bool:
        """Whether nobody knows how a tensor lies: the dump keeps its numbers and not its axes."""
        shape = self.shape(name) or ()
        flat = len(shape) in {4, 5} and self._is_flat(name, shape)
        return self.order is None and flat and len(self._orders(name)) > 1

    def _is_flat(self, name: str, shape: tuple[int, ...]) -> bool:
        given = self._dump.tensors[self.places[name]].shape
        return bool(shape) and (given is None or len(given) == 1 < len(shape))

    def _orders(self, name: str) -> list[Order]:
        """The orders that make different tensors of a value's numbers."""
        shape, tensor = self.shape(name), self._dump.tensors[self.places[name]]
        if shape is None or sum(size > 1 for size in shape[1:]) < 2:
            return []
        return orders(self._count(tensor, name), shape, self.graph.channels)

    def orders_of(self, name: str) -> list[Order]:
        """Those that the tensor's own shape leaves, the dump's own first; none where somebody has told it."""
        shape, given = self.shape(name), self._dump.tensors[self.places[name]].shape
        if shape is None or self._told is not None or says(given, shape, self.graph.channels) is not None:
            return []
        able = [one for one in self._orders(name) if fitting(given, shape, self.graph.channels, one)]
        return sorted(able, key=lambda order: order != self.order)

    def _count(self, tensor: DumpedTensor, name: str) -> int:
        if tensor.shape is not None:
            return size_of(tensor.shape)
        way = self.storage.way(tensor, self.shape(name), self.graph.channels)
        return (tensor.nbytes or 0) // way[1] if way else 0

    def settle(self, session: Session, feeds: Feeds | None) -> None:
        """Find order and types: what the shapes say, and what the model's own tensors say where it runs."""
        if self.order is None:
            self.order = settled(
                (said, size_of(tensor.shape or ()) // max(1, self._places_in_space(name)))
                for name, tensor in self._tensors()
                if (shape := self.shape(name)) is not None and self.graph.varies(name)  # weights lie as they like
                if (said := says(tensor.shape, shape, self.graph.channels)) is not None
            )
        if feeds:
            self._count_turns(session, feeds)
            self._ask(session, feeds)
        self._look()

    def _tensors(self) -> Iterator[tuple[str, DumpedTensor]]:
        return ((name, self._dump.tensors[place]) for name, place in self.places.items())

    def _places_in_space(self, name: str) -> int:
        """Samples times pixels: numbers that a channel has."""
        shape = self.shape(name) or ()
        depth = shape[1] if self.graph.channels == "first" else shape[-1]
        return size_of(shape) // max(1, depth)

    def _count_turns(self, session: Session, feeds: Feeds) -> None:
        """Leave out what the model computes more often than it was recorded: which turn of a loop is it?"""
        inner = [name for name, _ in self._tensors() if name not in self.graph.inputs]
        if not any(node.kind in NESTED for node in self.graph.nodes):
            return
        turns: Counter[str] = Counter()
        with suppress(AlignerError):  # a model that does not run leaves its loops to the other side
            turns.update(tensor.value for tensor in session.run(feeds))
        for name in inner if turns else ():
            if turns[name] > 1 + len(self._later.get(name, ())):
                self.unreadable[name] = "computed several times in a run, in a loop, and not recorded each time"
            elif not turns[name]:
                self.unreadable[name] = "inside a loop or branch that the model does not show"
        self.places = {name: place for name, place in self.places.items() if name not in self.unreadable}

    def _ask(self, session: Session, feeds: Feeds) -> None:
        """Run the model and see of which type of two bytes the first tensors are."""
        halves = [name for name, _ in self._tensors() if name not in self.graph.inputs and self._may_be_half(name)]
        if not halves:
            return
        own = {one.value: one.real() for one in session.run(feeds, {*halves[:_ASKED]}) if not one.occurrence}
        said = Counter(
            word for name in own if (word := nearer_half(self._dump.read(self.places[name]), own[name])) is not None
        )
        if said:
            self.storage = replace(self.storage, half=max(said, key=said.__getitem__))

    def settle_orders(self, found: Mapping[str, Order]) -> None:
        """Take the orders that were found of single tensors, and the most common for those that nobody knows."""
        self.orders = dict(found)
        if self.order is None:
            self.order = settled(
                (order, self._count(self._dump.tensors[self.places[name]], name) // max(1, self._places_in_space(name)))
                for name, order in found.items()
            )

    def _may_be_half(self, name: str) -> bool:
        tensor = self._dump.tensors[self.places[name]]
        told = tensor.dtype == "uint16" if tensor.shape is not None else tensor.dtype is None
        return told and self._is_real(name) and self._dtype(name, self.places[name]) == self.storage.half

    def _look(self) -> None:
        """Find the types that numbers were in before they were written as float32."""
        tensors = [name for name, tensor in self._tensors() if tensor.statistics is None]
        self._look_for_steps([name for name in tensors if name not in self.graph.inputs and self._is_real(name)])
        found = {name: written_from(self.tensor(name).array) for name in tensors}
        common = Counter(word for word in found.values() if word)
        if not common:
            return
        most = max(common, key=common.__getitem__)
        again = {name: word or written_from(self.tensor(name).array, most) for name, word in found.items()}
        self._written = {name: word for name, word in again.items() if word}

    def judge_as(self, dtype: str) -> None:
        """Take what was computed in float32 for numbers of a narrower type, as which the device multiplies."""
        floats = [n for n in self.places if n not in self.graph.inputs and n not in self._steps and self._is_real(n)]
        self._written = {**dict.fromkeys(floats, dtype), **(self._written or {})}

    def _look_for_steps(self, tensors: Sequence[str]) -> None:
        """Find the scales of a device that computes in codes and writes real numbers: most of its tensors have one."""
        arrays = ((name, self.tensor(name).array) for name in tensors)
        sizes = {name: array.size for name, array in arrays if written_from(array) is None}
        found = {name: step for name in sizes if (step := step_of(self.tensor(name).array)) is not None}
        if 2 * len(found) > sum(size >= TELLING for size in sizes.values()):
            few = {name: step_of_few(self.tensor(name).array) for name in sizes if name not in found}
            found |= {name: step for name, step in few.items() if step is not None}
            self._steps = {name: _code_of(self.tensor(name).array, step) for name, step in found.items()}

    def _common(self, name: str) -> Order:
        """The dump's order by its plainest name for a value of so many channels."""
        order = order_of(self.graph.channels) if self.order is None else self.order
        count = self._count(self._dump.tensors[self.places[name]], name)
        return effective(order, count // max(1, self._places_in_space(name)))

    def notes(self, model: str) -> Iterator[str]:
        """Sentences on what was made of the numbers."""
        own = order_of(self.graph.channels)
        if self._told is None and self.order is not None and self.order != own:
            ours = spoken(own).replace("channels", "them")
            yield (
                f"the dump was read with {spoken(self.order)}, its model has {ours}: "
                "so say most of its tensors (--dump-layout tells)"
            )
        others = [name for name, order in self.orders.items() if order != self._common(name)]
        if others and self._told is None:
            names = listing(self.graph.values[name].name for name in others)
            yield f"read with their channels where the others have not, as {model} gives them: {names}"
        if self.storage.block > 1:
            yield f"channels of the dump are filled up to blocks of {self.storage.block}; the filling was left out"
        if self._written:
            words = Counter(self._written.values())
            said = listing(f"{count} of {word}" for word, count in words.most_common())
            yield f"numbers of the dump that are written as float32 are of narrower types by what they are: {said}"
        if self._steps:
            yield (
                f"numbers of the dump that are written as float32 are multiples of a step each, as of a device that "
                f"computes in whole numbers, and are judged as its codes: {len(self._steps)} tensors"
            )
        for why in dict.fromkeys(self.unreadable.values()):
            names = listing(self.graph.values[name].name for name, said in self.unreadable.items() if said == why)
            yield f"{why}: {names}; left out ({model})"


def _code_of(array: Array, step: float) -> tuple[str, Quantization]:
    """The narrowest type that holds multiples of a step, and what makes numbers of it."""
    least, most = (int(np.rint(end / step)) for end in (float(array.min()), float(array.max())))
    fitting = (("int8", 0), ("uint8", max(0, -least)), ("int16", 0), ("uint16", max(0, -least)))
    for dtype, zero in fitting:
        if np.iinfo(dtype).min <= least + zero and most + zero <= np.iinfo(dtype).max:
            return dtype, Quantization((step,), (zero,))
    return "int32", Quantization((step,), (0,))


def known_shape(value: Value, tensor: DumpedTensor | None = None) -> tuple[int, ...] | None:
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
