"""Tensors of a known form with whatever numbers, in the place of results that nobody reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aligner.adapters.aten_kinds import kind_of
from aligner.adapters.aten_names import bare_name, is_inplace
from aligner.adapters.pytorch_adapter.shared_memory import storage_of
from aligner.adapters.pytorch_adapter.tensors import Room, room_of
from aligner.operations.kinds import TRAITS
from aligner.records.dataclass import dataclass

_FILLED = frozenset({"setitem", "copy", "fill", "zero"})
"""Calls that write to a tensor and leave it its shape, beside those that go element by element."""


@dataclass(frozen=True, slots=True)
class Blank:
    """What a call has given: tensors in memory of their own, in a ``container`` or alone, or its first operand.

    ``operand`` is what becomes of that: "returned", "written" with nothing returned, or "" where it stays as it was.
    """

    rooms: tuple[Room, ...] = ()
    container: Any = None
    operand: str = ""

    def result(self, args: Sequence[Any]) -> Any:
        """Such a result; a first operand counts as written to."""
        import torch

        if self.operand:
            torch.autograd.graph.increment_version(args[0])
            return args[0] if self.operand == "returned" else None
        made = [room.tensor() for room in self.rooms]
        return made[0] if self.container is None else self.container(made)


def blank_of(result: Any) -> Blank | None:
    """A blank for a tensor, or for a list or tuple of tensors; None where one is of a kind of its own."""
    import torch

    alone = isinstance(result, torch.Tensor)
    tensors = [result] if alone else list(result) if isinstance(result, (tuple, list)) else []
    if not tensors or not all(map(_is_plain, tensors)):
        return None
    return Blank(tuple(map(room_of, tensors)), None if alone else type(result))


def made_in_place(word: str, args: Sequence[Any], result: Any, written: Sequence[Any]) -> Blank | None:
    """A blank for a call that wrote to its first operand, and to what shares its memory, and to nothing else."""
    bare = bare_name(word)
    keeps_shape = TRAITS[kind_of(word)].output == "elementwise" or bare in _FILLED
    first = args[0] if args else None
    if not keeps_shape or not any(tensor is first for tensor in written) or not _is_plain(first):
        return None
    if {storage_of(tensor) for tensor in written} != {storage_of(first)}:
        return None
    if result is first:
        return Blank(operand="returned")
    return Blank(operand="written") if result is None and is_inplace(word) else None


def _is_plain(tensor: Any) -> bool:
    """Whether shape, strides, dtype and device are all that there is to a tensor but for its numbers."""
    import torch

    if type(tensor) is not torch.Tensor or tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta:
        return False
    marked = tensor.is_quantized or tensor.is_conj() or tensor.is_neg()
    return not marked and not tensor.requires_grad and not tensor.is_inference()
