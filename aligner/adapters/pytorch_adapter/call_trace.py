"""What each call of a run reads and makes, and so which calls another run can do without.

A run that puts tensors in computes much that nobody looks at: what lies before them, unless another way leads around
them. As for a compiler that is dead code, and a blank tensor of the same form stands for what it would have made. It
stays alive where its numbers decide how the run goes on: where Python reads them, and where a result's shape hangs on
them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from aligner.adapters.aten_kinds import kind_of
from aligner.adapters.aten_names import bare_name
from aligner.adapters.base import Injection
from aligner.adapters.fed import not_given
from aligner.adapters.pytorch_adapter.blank import Blank, blank_of, made_in_place
from aligner.adapters.pytorch_adapter.shared_memory import storage_of, version_of
from aligner.adapters.pytorch_adapter.tensors import tensors_in
from aligner.operations.kinds import MAY_DRAW, TRAITS
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_OPEN = frozenset({"made", "unknown", "ranked", "looked_up"})
"""How a result comes about whose shape, for all that a kind says, may hang on numbers, but for layers with weights."""
_ASKS_NO_NUMBER = frozenset({"is_contiguous", "get_device", "element_size", "is_complex", "is_signed", "is_same_size"})
"""Calls that answer with something else than a tensor and look at none of its numbers."""
LETS_OUT = frozenset({"numpy", "__array__", "__dlpack__", "data_ptr", "storage", "untyped_storage"})
"""Calls after which others may read and write a tensor's memory unseen."""


@dataclass(frozen=True, slots=True)
class _Call:
    word: str
    made: list[str]
    blank: Blank | None
    """What stands for its result; None where the call always runs."""


@dataclass(frozen=True, slots=True)
class SeenCall:
    """A call with its operands, their versions before it, its result, and whether it drew random numbers."""

    word: str
    args: Sequence[Any]
    given: Sequence[Any]
    reads: Sequence[str]
    before: Mapping[int, int]
    result: Any
    fresh: Sequence[Any]
    drew: bool


class Calls:
    """The calls of a run of which nothing is remembered, and which all run."""

    traced = False
    """Whether what a call has done is wanted."""
    apart = False
    """Whether every value is made by a call: no tensor turns out to hold another one when it is looked at."""

    def spared(self, _word: str) -> Blank | None:
        """What stands for the result of the next call, in the order in which the model makes them; None: it runs."""
        return None

    def took(self, _seen: SeenCall) -> None:
        """The call was made."""

    def made(self, _values: Collection[str]) -> None:
        """The last call made these values."""

    def turned_up(self, _value: str, _reads: Sequence[str] = ()) -> None:
        """A tensor was looked at that holds a value which no call made, of what it reads."""

    def hide(self) -> None:
        """Something was computed, or numbers were looked at, unseen."""

    def given(self, injection: Injection, value: str) -> Array | None:
        """What takes a value's place."""
        return injection.get(value)


class CallTrace(Calls):
    """The calls of one complete run, in order."""

    traced = True

    def __init__(self) -> None:
        self.hidden = False
        self._calls: list[_Call] = []
        self._reads: dict[str, Sequence[str]] = {}
        self._always: set[str] = set()
        self._deciding: set[str] = set()
        self._shared: set[str] = set()
        self._apart = True
        self._last: Sequence[str] | None = None

    def hide(self) -> None:
        """No run can do without any call."""
        self.hidden = True

    def took(self, seen: SeenCall) -> None:
        """Remember what the call read, and whether another run may do without it."""
        shaped = _shape_follows(seen)
        blank = _blank_of(seen) if shaped and not _may_have_drawn(seen) else None
        self._calls.append(_Call(seen.word, [], blank))
        self._last = seen.reads if seen.fresh else None
        if seen.word in LETS_OUT or _slices_hold_tensors(seen):
            self.hide()
        answered = tensors_in(seen.result) or seen.fresh
        handed_on = answered and not seen.fresh  # its operand as it is
        if blank is None and not handed_on and seen.word not in _ASKS_NO_NUMBER and not (shaped and _is_view(seen)):
            self._always.update(seen.reads)
            self._deciding.update(() if answered and shaped else seen.reads)

    def made(self, values: Collection[str]) -> None:
        """Values of the last call."""
        if self._last is None:
            self.hide()
            return
        self._reads.update(dict.fromkeys(values, self._last))
        self._last = None
        call = self._calls[-1]
        call.made.extend(values)
        self._shared.update(() if call.blank is not None and call.blank.rooms else values)

    def turned_up(self, value: str, reads: Sequence[str] = ()) -> None:
        """Which tensors are looked at decides how such values are numbered."""
        self._reads[value] = reads
        self._shared.add(value)
        self._apart = False

    def needed(self, shown: Collection[str], injected: Collection[str]) -> Calls:
        """The calls that a run needs that shows some values and puts others in.

        What decides how the run goes on must not hang on what is put in, which may decide otherwise.
        """
        if self.hidden or any(value in injected for value in self._behind(self._deciding, injected)):
            return Calls()
        read = self._behind({*self._always, *(r for value in shown for r in self._reads.get(value, ()))}, injected)
        alive = {value for value in read if value not in injected} | set(shown)
        spared = {
            place: call.blank
            for place, call in enumerate(self._calls)
            if call.blank is not None and alive.isdisjoint(call.made)
        }
        needed = NeededCalls([call.word for call in self._calls], spared, read, alive, self._shared)
        needed.apart = self._apart
        return needed

    def _behind(self, values: Iterable[str], injected: Collection[str]) -> set[str]:
        """The values and all that they are made of, up to what is put in, that included."""
        found, stack = set(values), list(values)
        while stack:
            value = stack.pop()
            new = () if value in injected else [each for each in self._reads.get(value, ()) if each not in found]
            found.update(new)
            stack += new
        return found


class NeededCalls(Calls):
    """Tells a run that goes the way of another one which of its calls it can do without.

    ``read`` are the values that its calls read, ``computed`` those whose own numbers are right, ``shared`` those that
    may lie in memory of others: what is put in for one is seen there as well.
    """

    def __init__(
        self,
        words: Sequence[str],
        blanks: Mapping[int, Blank],
        read: Collection[str],
        computed: Collection[str],
        shared: Collection[str],
    ) -> None:
        self._read, self._computed, self._shared = read, computed, shared
        self._words, self._blanks = words, blanks
        self._next = 0

    def spared(self, word: str) -> Blank | None:
        """Raises LostWayError where the model makes another call than in the run that is known."""
        place, self._next = self._next, self._next + 1
        if place >= len(self._words) or self._words[place] != word:
            raise LostWayError(word)
        return self._blanks.get(place)

    def given(self, injection: Injection, value: str) -> Array | None:
        """What takes a value's place; nothing is asked for that no call reads.

        Raises InputError where nothing comes of a value that for its sake was not computed.
        """
        array = injection.get(value) if value in self._read or value in self._shared else None
        if array is None and value in self._read and value not in self._computed:
            raise not_given(value)
        return array


class LostWayError(BaseException):
    """The model makes other calls than before; no ``except Exception`` of its own may swallow it."""


def _blank_of(seen: SeenCall) -> Blank | None:
    """What stands for the call's result, where all that it did was to make that."""
    written = [tensor for tensor in seen.given if seen.before[id(tensor)] != version_of(tensor)]
    if written:
        return made_in_place(seen.word, seen.args, seen.result, written)
    storages = {storage_of(tensor) for tensor in seen.given}
    own = {storage_of(tensor) for tensor in seen.fresh}
    apart = bool(seen.fresh) and len(own) == len(seen.fresh) and own.isdisjoint(storages)
    return blank_of(seen.result) if apart else None


def _may_have_drawn(seen: SeenCall) -> bool:
    """Whether random numbers were drawn; another device's generator is not watched."""
    elsewhere = any(tensor.device.type != "cpu" for tensor in seen.given)
    return seen.drew or (elsewhere and kind_of(seen.word) in MAY_DRAW)


def _is_view(seen: SeenCall) -> bool:
    """Whether the call only shows its operands' memory in another way, which no number can keep it from."""
    untouched = all(seen.before[id(tensor)] == version_of(tensor) for tensor in seen.given)
    storages = {storage_of(tensor) for tensor in seen.given}
    return untouched and bool(seen.fresh) and storages.issuperset(map(storage_of, seen.fresh))


def _shape_follows(seen: SeenCall) -> bool:
    """Whether shapes and settings alone say what shape the result has."""
    import torch

    word, kind = bare_name(seen.word), kind_of(seen.word)
    if seen.word in ("__getitem__", "index"):
        return not any(index.dtype in (torch.bool, torch.uint8) for index in tensors_in(seen.args[1:]))
    marked = _marked_open(word)
    if word.endswith(("_as", "_like")) or word.startswith("new_") or marked is False:
        return True
    if marked and not all(tensor.is_floating_point() for tensor in seen.given):
        return False  # there may be counts among them, or marks
    traits = TRAITS[kind]
    if kind == "where" and not isinstance(seen.result, torch.Tensor):
        return False  # the places of what is true
    if traits.output in _OPEN and traits.weights in (None, "indexed"):
        return False
    return traits.output == "elementwise" or not traits.configured or len(seen.given) <= 1


@cache
def _marked_open(word: str) -> bool | None:
    """Whether shapes of an operator's results hang on numbers: PyTorch marks those, as its tracing must know them.

    None where it does not say: of what is none of its operators, and of what is made of others, which may be marked.
    """
    import torch

    packet: Any = getattr(torch.ops.aten, word, None)
    named = [getattr(packet, name) for name in packet.overloads()] if hasattr(packet, "overloads") else []
    overloads = [one for one in named if torch._C._dispatch_has_kernel(one.name())]  # scripts have some of their own
    open_ = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output, torch.Tag.nondeterministic_seeded}
    if any(open_.intersection(one.tags) for one in overloads):
        return True
    asked = torch._C._dispatch_has_kernel_for_dispatch_key
    made_of_others = any(asked(one.name(), "CompositeImplicitAutograd") for one in overloads)
    return None if made_of_others or not overloads else False


def _slices_hold_tensors(seen: SeenCall) -> bool:
    """Whether places are cut out between numbers of tensors."""
    if seen.word not in ("__getitem__", "__setitem__") or len(seen.args) < 2:
        return False
    index = seen.args[1] if isinstance(seen.args[1], tuple) else (seen.args[1],)
    edges = [edge for one in index if isinstance(one, slice) for edge in (one.start, one.stop, one.step)]
    return bool(tensors_in(edges))
