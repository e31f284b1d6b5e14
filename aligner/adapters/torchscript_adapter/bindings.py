"""What each name of an inlined TorchScript graph stands for while the graph is read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aligner.adapters.torchscript_adapter.operands import UNKNOWN, Draft, Items, Produced, Ref, is_tensor


class Bindings:
    """Names bound to tensors, containers and known numbers, and which tensors overwrite which.

    ``latest`` leads from a value to the one that an in-place op left in its memory. ``time`` counts nodes.
    """

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._refs: dict[str, Ref] = {}
        self._known: dict[str, Any] = {}
        self._latest: dict[str, str] = {}
        self._born: dict[str, int] = {}
        self._writes: list[tuple[int, Any, Draft]] = []
        self._database: Any = None
        self._blocks = 0
        self._loops = 0
        self.block = 0
        self.time = 0
        self.attributes: dict[str, Ref] = {}
        """What module attributes hold, by path."""
        self.values: dict[str, Any] = {}
        self.aliases: dict[str, list[str]] = {}
        self.views: set[str] = set()
        self.repeated: set[str] = set()
        self.overwritten: set[str] = set()
        self.undeclared: list[Any] = []
        """Operands and results of ops that return views and do not say so."""

    def bind(self, value: Any, ref: Ref, known: Any = UNKNOWN) -> None:
        """Let a name stand for what already has one, or for a known number."""
        name = value.debugName()
        self._refs[name] = ref
        if known is not UNKNOWN:
            self._known[name] = known
        if isinstance(ref, str) and ref != name and is_tensor(value.type()):
            self.aliases.setdefault(ref, []).append(name)

    def share(self, target: Any, source: Any) -> None:
        """Let a name stand for the same as another."""
        self.bind(target, self.ref(source), self._known.get(source.debugName(), UNKNOWN))

    def enter(self, value: Any) -> str:
        """A new tensor, under its own name."""
        name: str = value.debugName()
        self._refs[name] = name
        self.values[name] = value
        self._born[name] = self.time
        return name

    def made(self, value: Any, draft: Draft) -> None:
        """A tensor that a node computes."""
        name = self.enter(value)
        draft.outputs.append(name)
        if draft.view:
            self.views.add(name)
        if self._loops:
            self.repeated.add(name)

    def ref(self, value: Any) -> Ref:
        """What the operand leads to now."""
        return self._newest(self._refs.get(value.debugName()))

    def _newest(self, ref: Ref) -> Ref:
        while isinstance(ref, str) and ref in self._latest:
            ref = self._latest[ref]
        if isinstance(ref, Items):
            ref.elements[:] = [self._newest(element) for element in ref.elements]
        return ref

    def known(self, value: Any) -> Any:
        """The plain value; Ellipsis for something that is surely there but holds tensors; else UNKNOWN."""
        name = value.debugName()
        if name in self._known:
            return self._known[name]
        ref = self._refs.get(name)
        held = isinstance(ref, str) and value.type().kind() != "OptionalType"
        return Ellipsis if held or is_tensor(value.type()) or isinstance(ref, Items | Produced) else UNKNOWN

    def forget(self, value: Any) -> None:
        """The contents of a list are no longer known, under none of its names."""
        known = self._known.get(value.debugName(), UNKNOWN)
        if isinstance(known, list | dict):
            self._known = {name: other for name, other in self._known.items() if other is not known}
        ref = self.ref(value)
        if isinstance(ref, Items):
            ref.exact = False

    def written(self, target: Any, draft: Draft) -> None:
        """An op overwrote the target's memory; its result is what the memory holds from here on."""
        self._writes.append((self.time, target, draft))
        ref = self.ref(target)
        if draft.outputs:
            self.overwritten.add(draft.outputs[0])
            if isinstance(ref, str):
                self._latest[ref] = draft.outputs[0]

    def never_written(self, name: str) -> bool:
        """Whether surely no op writes to the value's memory, so that it may be looked at without a copy."""
        value = self.values.get(name)
        if value is None or self._aliases().has_writers(value):
            return False
        return not any(self._aliases().may_contain_alias(value, other) for other in self.undeclared)

    def written_later(self, name: str) -> bool:
        """Whether some op may write to the value's memory after the value was computed."""
        value = self.values.get(name)
        late = [target for time, target, _ in self._writes if time > self._born.get(name, 0)]
        if value is None or not late:
            return False
        return any(self._aliases().may_contain_alias(value, target) for target in late)

    def stale(self, name: str) -> list[str]:
        """What was written to a tensor's memory through another name since: a view of it, or its base."""
        value, born = self.values.get(name), self._born.get(name, 0)
        if value is None:
            return []
        late = [(target, draft) for time, target, draft in self._writes if time > born and self.ref(target) != name]
        late = [each for each in late if name in self.views or each[0].debugName() in self.views]
        return [out for each, draft in late if self._aliases().may_contain_alias(value, each) for out in draft.outputs]

    def _aliases(self) -> Any:
        if self._database is None:
            self._database = self._graph.alias_db()
        return self._database

    @contextmanager
    def branch(self) -> Iterator[None]:
        """Within a block that may not run: what it overwrites or sets is not for sure what comes after it sees."""
        outer = self.block, dict(self._latest), dict(self.attributes)
        self._blocks += 1
        self.block = self._blocks
        yield
        self.block, self._latest, self.attributes = outer

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Within a loop's body: a write there may precede, in the next round, what stands before it."""
        earlier = len(self._writes)
        self._loops += 1
        with self.branch():
            yield
        self._loops -= 1
        self.time += 1
        self._writes[earlier:] = [(self.time, target, draft) for _, target, draft in self._writes[earlier:]]
