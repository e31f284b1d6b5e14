"""What the operands of a TorchScript graph stand for: tensors, containers of tensors, modules, known numbers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

from aligner.records.dataclass import dataclass

UNKNOWN = object()
"""The value of an operand that only a run can tell."""


@dataclass(slots=True, eq=False)
class Draft:
    """A node while the graph is read; outputs may still be added where a list is taken apart later on."""

    op: str
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    scope: str | None = None
    source: str | None = None
    view: bool = False
    """The results may share memory with the operands."""


@dataclass(slots=True, eq=False)
class Items:
    """A tuple, list or dict of operands.

    ``exact`` says that these are its elements in order; otherwise they are what may be among them. A list is shared by
    all its names, as in the program. ``block`` is where it was made: appending from within another block (a loop, a
    branch) leaves it inexact. ``keys`` are those of a dict.
    """

    elements: list[Ref]
    block: int = 0
    exact: bool = True
    keys: tuple[Any, ...] | None = None

    def change(self, op: str, operands: Sequence[Any], refs: Sequence[Ref], block: int) -> None:
        """Do what the program does to the list: ``operands`` are the known values, ``refs`` the tensors behind them."""
        before = list(self.elements)
        exact = self.exact and self.block == block and self._changed(op, operands, refs)
        if not exact:
            self.exact = False
            self.elements[:] = [*before, *(leaf for ref in refs[1:] for leaf in leaves(ref))]

    def _changed(self, op: str, operands: Sequence[Any], refs: Sequence[Ref]) -> bool:
        position = operands[1] if len(operands) > 1 else -1
        known = isinstance(position, int) and self.keys is None
        if op == "aten::append":
            self.elements.append(refs[1])
        elif op == "aten::insert" and known:
            self.elements.insert(position, refs[2])
        elif op == "aten::_set_item" and known and -len(self.elements) <= position < len(self.elements):
            self.elements[position] = refs[2]
        elif op == "aten::_set_item" and self.keys is not None and position is not UNKNOWN:
            self._set(position, refs[2])
        elif op == "aten::extend" and isinstance(refs[1], Items) and refs[1].exact:
            self.elements.extend(refs[1].elements)
        elif op == "aten::reverse":
            self.elements.reverse()
        elif op == "aten::clear" and self.keys is None:
            self.elements.clear()
        else:
            return False
        return True

    def _set(self, key: Any, ref: Ref) -> None:
        keys = self.keys or ()
        if key in keys:
            self.elements[keys.index(key)] = ref
        else:
            self.keys = (*keys, key)
            self.elements.append(ref)


LIST_CHANGES = frozenset(
    "aten::append aten::insert aten::_set_item aten::extend aten::reverse aten::clear aten::pop aten::remove "
    "aten::Delete aten::popitem aten::update aten::setdefault".split()
)


@dataclass(frozen=True, slots=True)
class Produced:
    """A container that an op made; what is taken out of it belongs to that op's node."""

    draft: Draft


@dataclass(frozen=True, slots=True, eq=False)
class Submodule:
    """A module, and the path to it from the one that is run."""

    path: str
    module: Any

    def join(self, name: str) -> str:
        """The dotted path of an attribute."""
        return f"{self.path}.{name}" if self.path else name


Ref = str | Items | Produced | Submodule | None
"""A str is the id of a value or weight; None is whatever holds no tensor."""


def leaves(ref: Ref) -> Iterator[str]:
    """Ids of all tensors that a reference may lead to."""
    if isinstance(ref, str):
        yield ref
    elif isinstance(ref, Items):
        for element in ref.elements:
            yield from leaves(element)
    elif isinstance(ref, Produced):
        yield from ref.draft.outputs or ref.draft.inputs


def open_ends(ref: Ref) -> Iterator[str]:
    """The leaves of those parts whose elements only a run can tell."""
    if isinstance(ref, Items) and ref.exact:
        for element in ref.elements:
            yield from open_ends(element)
    elif not isinstance(ref, str):
        yield from leaves(ref)


def holds_tensors(value_type: Any) -> bool:
    """Whether a type is a container, future or optional of tensors."""
    kind = value_type.kind()
    if kind in ("ListType", "TupleType", "DictType", "OptionalType", "FutureType", "UnionType"):
        return any(is_tensor(inner) or holds_tensors(inner) for inner in value_type.containedTypes())
    return False


def is_tensor(value_type: Any) -> bool:
    """Whether a type is Tensor itself."""
    return bool(value_type.kind() == "TensorType")


def is_module(value_type: Any) -> bool:
    """Whether a type is a module's or an interface's."""
    return value_type.kind() in ("ClassType", "InterfaceType")


_EVALUATED: dict[str, Callable[..., Any]] = {
    "aten::__not__": operator.not_,
    "aten::__and__": lambda a, b: a and b,
    "aten::__or__": lambda a, b: a or b,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::lt": operator.lt,
    "aten::le": operator.le,
    "aten::gt": operator.gt,
    "aten::ge": operator.ge,
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__contains__": operator.contains,
    "aten::len": len,
    "aten::neg": operator.neg,
    "aten::add": operator.add,
    "aten::sub": operator.sub,
    "aten::mul": operator.mul,
    "aten::floordiv": operator.floordiv,
    "aten::__getitem__": operator.getitem,
}


def evaluate(op: str, operands: Sequence[Any]) -> Any:
    """Compute plain values where all operands are known, UNKNOWN otherwise: what decides branches and attributes.

    ``x is None`` is decided for a tensor too; its operand is then passed as the type Tensor's stand-in, ``Ellipsis``.
    """
    function = _EVALUATED.get(op)
    if function is None or any(operand is UNKNOWN for operand in operands):
        return UNKNOWN
    if any(operand is Ellipsis for operand in operands) and op not in ("aten::__is__", "aten::__isnot__"):
        return UNKNOWN
    try:
        return function(*operands)
    except Exception:  # noqa: BLE001 - an overload with other operands than assumed here is simply not known
        return UNKNOWN
