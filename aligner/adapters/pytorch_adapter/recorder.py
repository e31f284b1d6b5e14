"""Watch one forward pass: every torch call between the model's own lines becomes a node.

Names are ``module.path/op.N``: N counts the calls of that op inside that module path over the whole run, so that a
module called twice goes on counting; the root's path is empty ("op.N"). An op with several results appends ":0", ":1".
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from types import FunctionType, MappingProxyType
from typing import Any

from aligner.adapters.aten_kinds import kind_of
from aligner.adapters.aten_names import bare_name, is_inplace
from aligner.adapters.pytorch_adapter.arguments import attributes, bind, operands
from aligner.adapters.pytorch_adapter.blank import Blank
from aligner.adapters.pytorch_adapter.call_trace import LETS_OUT, Calls, SeenCall
from aligner.adapters.pytorch_adapter.errors import Failure
from aligner.adapters.pytorch_adapter.hollow import StandIns
from aligner.adapters.pytorch_adapter.randomness import OwnRandomness
from aligner.adapters.pytorch_adapter.shared_memory import Tenants, Write, Writes, storage_of, version_of
from aligner.adapters.pytorch_adapter.source_line import calling_line
from aligner.adapters.pytorch_adapter.tensors import from_array, substitute, tensors_in, to_array
from aligner.adapters.pytorch_adapter.torch_calls import (
    function_mode,
    is_rewritten,
    kind_of_call,
    opened,
    plain_torch,
    shown_word,
    transformed,
    word_of,
)
from aligner.adapters.torch_quantization import PackedLayer, dtype_word, quantization_of
from aligner.operations.kinds import MAY_DRAW
from aligner.records.array import Array
from aligner.records.graph import Node, Quantization

Tap = Callable[[str, Any], "Array | None"]
"""Called with (value id, tensor) as soon as a value exists; what it returns takes the value's place."""

_OPENED = frozenset({"multi_head_attention_forward"})
"""Functions made of other layers, with weights of their own: their inner calls are recorded instead."""
_SHAPED_LIKE = ("_like", "new_")


@dataclass(slots=True)
class Seen:
    """A value as it was when it appeared."""

    shape: tuple[int, ...]
    dtype: str
    aliases: list[str]
    quantization: Quantization | None = None


class Recorder:
    """The observer of a single run; make a new one for each.

    ``describe`` collects nodes with attributes and source lines; without it only names and tensors are followed.
    ``existing`` holds the ``id()`` of tensors older than the run: such a one is a constant, wherever it comes from.
    ``write_through`` names values whose memory the model writes to later: a view among them is replaced in place.
    ``stand_in`` knows the tensors without data, in a run that computes shapes alone. ``packed`` are the weights in
    objects that quantised layers hand to their operators, by the object's ``id()``. ``calls`` remembers what each call
    does, or knows which ones this run can do without.
    """

    def __init__(
        self,
        module: Any,
        weights: dict[str, Any],
        tap: Tap,
        *,
        describe: bool,
        randomness: OwnRandomness,
        existing: frozenset[int] = frozenset(),
        write_through: frozenset[str] = frozenset(),
        stand_in: StandIns | None = None,
        packed: Mapping[int, PackedLayer] = MappingProxyType({}),
        calls: Calls | None = None,
    ) -> None:
        from torch.utils.weak import WeakTensorKeyDictionary

        self.nodes: list[Node] = []
        self.values: dict[str, Seen] = {}
        self.weights = dict(weights)
        self.constants: dict[str, Array] = {}
        self.written: set[str] = set()
        self.untracked: list[str] = []
        self.failure: Failure | None = None
        self._tap = tap
        self._describe = describe
        self._write_through = write_through
        self._stand_in = stand_in
        self._packed = packed
        self.calls = calls or Calls()
        self._randomness = randomness
        self._existing = existing
        self._paths = {id(part): path for path, part in module.named_modules()}
        self._scopes = [""]
        self._counts: Counter[str] = Counter()
        self._writes = Writes()
        self._tenants = Tenants()
        self._known = WeakTensorKeyDictionary()
        self._borrowed: list[tuple[Any, Any]] = []
        self._thread = threading.get_ident()
        self._mode: AbstractContextManager[Any] = function_mode(self._call)
        for name, tensor in weights.items():
            self._known[tensor] = (name, version_of(tensor))

    @property
    def still(self) -> frozenset[str]:
        """Values in memory that this run allocated and that nobody wrote to after they appeared."""
        if self._stand_in is None:
            return frozenset(self._tenants.still)
        stored = set(self.weights)  # a stand-in does not show that it is a view of real data
        for node in self.nodes:
            if stored.issuperset(node.inputs):
                stored.update(node.outputs)
        return frozenset(self._tenants.still - stored)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Observe this thread until the block ends; hooks are removed also on error."""
        from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

        handles = [
            register_module_forward_pre_hook(self._enter_module),
            register_module_forward_hook(self._leave_module, with_kwargs=True, always_call=True),
        ]
        try:
            with self._mode:
                yield
        finally:
            for handle in handles:
                handle.remove()
            for tensor, original in self._borrowed:
                tensor.data.copy_(original)

    def add_input(self, name: str, tensor: Any) -> Any:
        """Announce a tensor that is fed; returns the one to feed."""
        return self._publish(name, tensor, "input", inplace=False)

    def name_of(self, tensor: Any) -> str:
        """The value or weight that a tensor holds now; call it inside ``watching`` or after it."""
        with plain_torch():
            return self._identify(tensor)

    # modules ---------------------------------------------------------------------------------------------------------

    def _enter_module(self, module: Any, _args: Any) -> None:
        if threading.get_ident() == self._thread:
            path = self._paths.get(id(module))
            self._scopes.append(path if path is not None else f"{self._scopes[-1]}.{type(module).__name__}".lstrip("."))

    def _leave_module(self, module: Any, args: Any, *rest: Any) -> Any:
        """After an error torch leaves the keyword arguments out, and the output is None."""
        if threading.get_ident() != self._thread:
            return None
        with plain_torch():
            replaced = self._name_outputs(module, (args, rest[:-1]), rest[-1])
        self._scopes.pop()
        return replaced

    def _name_outputs(self, module: Any, given: Any, output: Any) -> Any:
        """Add the module's path to its results; one that no call was seen to make comes from the module as a whole."""
        path = self._scopes[-1]
        found = tensors_in(output)
        unseen = [tensor for tensor in found if tensor not in self._known]
        replaced = None
        if unseen and not transformed():
            ids = {id(tensor): self._identify(tensor) for tensor in tensors_in(given)}
            inside = {id(tensor): name for name, tensor in self.weights.items() if name.startswith(f"{path}.")}
            inputs = [*ids.values(), *inside.values()]
            fresh = self._record(type(module).__name__, "opaque", inputs, unseen, [], None)
            replaced = substitute(output, fresh) if fresh else None
        if path:
            for number, tensor in enumerate(tensors_in(replaced if replaced is not None else output)):
                self.add_alias(tensor, path if len(found) == 1 else f"{path}:{number}")
        return replaced

    def add_alias(self, tensor: Any, alias: str) -> None:
        """Remember another name of the value that the tensor holds."""
        known = self._known.get(tensor)
        seen = self.values.get(known[0]) if known else None
        if seen is not None and alias not in seen.aliases:
            seen.aliases.append(alias)

    # calls -----------------------------------------------------------------------------------------------------------

    def _call(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        if self._stand_in is not None:
            known, answer = self._stand_in.answer(func, args)
            if known:
                return answer
            args, kwargs = self._stand_in.placed(func, args, kwargs)
        name = word_of(func)
        if name in LETS_OUT and args:
            self._tenants.disturb(storage_of(args[0]))
        if not name or kind_of(name) == "shape" or transformed():
            if transformed() or getattr(func, "__name__", "") == "__set__":
                self.calls.hide()
            return func(*args, **kwargs)
        if name in _OPENED and isinstance(func, FunctionType):
            with self._mode:
                return opened(func)(*args, **kwargs)
        blank = self.calls.spared(name)
        if blank is not None and blank.rooms and self.calls.apart:
            return self._blank(name, blank)
        given = tensors_in((args, kwargs))
        if self._stand_in is not None and is_inplace(name) and not self._stand_in.holds(args[0]):
            raise RuntimeError(f"{name} writes to a tensor that has data")
        ids = {id(tensor): self._identify(tensor) for tensor in given}
        before = {id(tensor): version_of(tensor) for tensor in given}
        drawn = self._randomness.position() if self.calls.traced else None
        result = self._computed(func, name, args, kwargs) if blank is None else blank.result(args)
        fresh = [t for t in tensors_in(result) if before.get(id(t)) != version_of(t) or is_rewritten(name, t, args)]
        if name == "__setitem__":
            fresh = [args[0]]
        if drawn is not None:
            drew = self._randomness.has_moved(drawn)
            self.calls.took(SeenCall(name, args, given, tuple(ids.values()), before, result, fresh, drew))
        if not fresh:
            return result
        inputs, found = self._operands(func, name, args, kwargs, ids)
        for layer in (self._packed[id(one)] for one in args if id(one) in self._packed):
            inputs += layer.weights
            found = found and {**found, **layer.settings}
        kind = kind_of_call(name, given, fresh, found)
        replacements = self._record(name, kind, inputs, fresh, given, found)
        return substitute(result, replacements) if replacements else result

    def _blank(self, name: str, blank: Blank) -> Any:
        """What stands for the result of a call, whose operands nobody asks for."""
        result = blank.result(())
        fresh = tensors_in(result)
        replacements = {}
        for tensor, value in zip(fresh, self._results(self._fresh_name(name), len(fresh)), strict=True):
            self._writes.forget(tensor)
            if value:
                replacements[id(tensor)] = self._publish(value, tensor, "", inplace=False)
        return substitute(result, replacements)

    def _computed(self, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        try:
            with self._randomness if kind_of(name) in MAY_DRAW else nullcontext():
                return func(*args, **kwargs)
        except Exception as error:
            self.calls.hide()
            if self.failure is None or self.failure.error is not error:
                self.failure = Failure(error, self._label(name), self._source())
            raise

    def _operands(
        self, func: Any, name: str, args: Sequence[Any], kwargs: dict[str, Any], ids: dict[int, str]
    ) -> tuple[list[str], dict[str, Any] | None]:
        """Ids of the operands in order, and the named arguments where nodes are described."""
        if not self._describe:
            return list(ids.values()), None
        bound = bind(func, name, args, kwargs)
        return ["" if tensor is None else ids[id(tensor)] for tensor in operands(bound)], bound

    def _label(self, name: str) -> str:
        scope, word = self._scopes[-1], shown_word(name)
        return f"{scope}/{word}" if scope else word

    def _fresh_name(self, name: str) -> str:
        label = self._label(name)
        while True:
            number = self._counts[label]
            self._counts[label] += 1
            if f"{label}.{number}" not in self.weights:
                return f"{label}.{number}"

    def _results(self, node: str, count: int) -> list[str]:
        """The names of a node's results; "" for one that nobody sees."""
        return [node] if count == 1 else [f"{node}:{number}" for number in range(count)]

    def _source(self) -> str | None:
        """The line that runs."""
        return calling_line()

    def _record(
        self, name: str, kind: str, inputs: list[str], fresh: list[Any], given: list[Any], bound: dict[str, Any] | None
    ) -> dict[int, Any]:
        """Make a node of a call and publish its results; returns what replaces them, by ``id()``."""
        node = self._fresh_name(name)
        made = self._results(node, len(fresh))
        self.calls.made([value for value in made if value])
        if kind == "constant" or (kind == "random" and any(mark in name for mark in _SHAPED_LIKE)):
            inputs = []
        if bare_name(name) == "copy" and len(inputs) > 1:
            inputs = inputs[1:]  # whatever was there before
        if self._describe:
            self.nodes.append(self._node(node, name, kind, inputs, made, bound))
        held = {id(tensor) for tensor in given}
        storages = {storage_of(tensor) for tensor in given}
        replacements: dict[int, Any] = {}
        for tensor, value in zip(fresh, made, strict=True):
            if not value:
                continue
            mutated, storage = id(tensor) in held, storage_of(tensor)
            own = storage not in storages and kind != "opaque" and "::" not in name
            self._tenants.move_in(value, storage, fresh=own, writing=mutated)
            if mutated:
                known = self._known.get(tensor)
                self.written.update({known[0]} if known else set())
                self._writes.add(value, tensor)
            elif storage not in storages:
                self._writes.forget(tensor)
            inside = mutated or (value in self._write_through and storage in storages)
            published = self._publish(value, tensor, kind, inplace=inside)
            if published is not tensor:
                replacements[id(tensor)] = published
        return replacements

    def _node(
        self, node: str, name: str, kind: str, inputs: list[str], made: list[str], bound: dict[str, Any] | None
    ) -> Node:
        return Node(
            index=len(self.nodes),
            name=node,
            op=shown_word(name),
            kind=kind,
            inputs=tuple(inputs),
            outputs=tuple(value for value in made if value),
            weights=tuple(dict.fromkeys(value for value in inputs if value in self.weights or value in self.constants)),
            attributes=attributes(name, bound) if bound else {},
            scope=self._scopes[-1],
            source=self._source(),
            overwrites=is_inplace(name),
        )

    def _publish(self, value: str, tensor: Any, kind: str, *, inplace: bool, borrowed: bool = False) -> Any:
        """Let the tap see a value that has just been computed; returns the tensor that its consumers get."""
        self.values[value] = Seen(tuple(tensor.shape), dtype_word(tensor), [], quantization_of(tensor))
        if kind == "constant" and self._describe:
            self.constants[value] = to_array(tensor)
        array = self._tap(value, tensor)
        if array is not None:
            replacement = from_array(array, tensor, name=value)
            if inplace:
                if borrowed:
                    self._borrowed.append((tensor, tensor.detach().clone()))
                # .data has a version of its own: the write is invisible to the bookkeeping of other views
                tensor.data.copy_(replacement)
            else:
                tensor = replacement
                self._writes.forget(tensor)
        self._known[tensor] = (value, version_of(tensor))
        return tensor

    # identity --------------------------------------------------------------------------------------------------------

    def _identify(self, tensor: Any) -> str:
        known = self._known.get(tensor)
        if known is None:
            return self._adopt(tensor)
        value: str = known[0]
        version = version_of(tensor)
        if known[1] == version:
            return value
        write = self._writes.since(tensor, known[1])
        if write is None or write.value == value:
            self._known[tensor] = (value, version)
            return value
        return self._after_write(tensor, value, write)

    def _adopt(self, tensor: Any) -> str:
        """A tensor from outside every observed call: a closure's, numpy's, a compiled function's."""
        value = self._fresh_name("untracked")
        kind = "constant" if id(tensor) in self._existing else "opaque"
        if self._describe:
            if kind == "opaque":
                self.untracked.append(f"{value} ({calling_line()})")
            self.nodes.append(self._node(value, "untracked", kind, [], [value], None))
        if kind == "opaque":
            self.calls.hide()
        self.calls.turned_up(value)
        self._publish(value, tensor, kind, inplace=True, borrowed=True)
        return value

    def _after_write(self, tensor: Any, value: str, write: Write) -> str:
        """The tensor shares memory with one that an in-place call wrote to: what it holds now is a new value."""
        made = self._fresh_name("alias")
        self.written.add(value)
        count = tensor.numel()
        kind = "identity" if write.numel == count else "scatter" if write.numel < count else "slice"
        if self._describe:
            self.nodes.append(self._node(made, "alias", kind, [value, write.value], [made], None))
        self.calls.turned_up(made, (value, write.value))
        self._tenants.move_in(made, storage_of(tensor))
        self._publish(made, tensor, kind, inplace=True)
        return made
