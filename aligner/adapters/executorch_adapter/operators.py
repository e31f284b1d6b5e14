"""What an instruction calls: its operator by PyTorch's name, and the names of its arguments."""

from __future__ import annotations

import functools

from aligner.records.dataclass import dataclass

_RENAMED = {"aten::_to_copy": "aten::to", "executorch_prim::et_view": "aten::view"}
_PREFIX = "dim_order_ops::_"
"""ExecuTorch's operators that take a tensor's order of axes in place of a memory format: ``_to_dim_order_copy``."""
EXECUTION_ONLY = frozenset({"non_blocking", "pin_memory", "device", "layout", "memory_format", "dim_order", "out"})
"""Arguments that say how or where to compute, not what."""


_QUANTIZING = frozenset(
    ("quantize_per_tensor", "quantize_per_channel", "dequantize_per_tensor", "dequantize_per_channel")
)


def is_quantizing(op: str) -> bool:
    """Whether an operator, by the name that ``word_of`` gives, makes integers of real numbers or the reverse."""
    return op == "aten::dequantize" or op.partition("::")[2] in _QUANTIZING


@dataclass(frozen=True, slots=True)
class Signature:
    """An operator's arguments by position. ``written``: of these, the results that it is given room for."""

    names: tuple[str, ...] = ()
    optional: frozenset[int] = frozenset()
    written: frozenset[int] = frozenset()
    overwritten: frozenset[int] = frozenset()
    """Operands that are changed in place."""


def word_of(name: str) -> str:
    """The operator that computes the same, as PyTorch's users write it: "aten::permute_copy" is "aten::permute"."""
    if name in _RENAMED:
        return _RENAMED[name]
    space, _, bare = name.rpartition("::")
    if space == "quantized_decomposed" and bare in _QUANTIZING:
        return "aten::dequantize" if bare.startswith("de") else f"aten::{bare}"
    if name.startswith(_PREFIX):
        bare = name.removeprefix(_PREFIX).replace("_dim_order", "").removesuffix("_copy")
        return f"aten::{bare}"
    return name.removesuffix("_copy") if name.startswith("aten::") else name


@functools.lru_cache(maxsize=1024)
def signature_of(name: str, overload: str) -> Signature:
    """As PyTorch has it registered; empty for what it does not know."""
    import torch

    for schema in torch._C._jit_get_schemas_for_operator(name):
        if schema.overload_name == overload:
            arguments = list(enumerate(schema.arguments))
            writes = {place for place, one in arguments if one.alias_info is not None and one.alias_info.is_write}
            rooms = {place for place in writes if schema.arguments[place].kwarg_only}
            return Signature(
                tuple(one.name for _, one in arguments),
                frozenset(place for place, one in arguments if str(one.type) == "Optional[Tensor]"),
                frozenset(rooms),
                frozenset(writes - rooms),
            )
    return Signature()
