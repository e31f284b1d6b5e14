"""PyTorch's operators as operations, as eager modules and TorchScript say them."""

from __future__ import annotations

import re

from aligner.adapters.aten_names import bare_name
from aligner.adapters.aten_translation.quantized import QUANTIZED
from aligner.operations.call import Call
from aligner.operations.forms import vocabulary
from aligner.operations.operation import Operation

VOCABULARY = vocabulary(__name__, __path__)
_NAMESPACES = frozenset({"aten", "prim"})
_DUNDER = re.compile(r"(?:__)?([ri]?)(add|sub|mul|matmul|truediv|div|floordiv|mod|pow|and|or|xor|lshift|rshift)(?:__)?")


def word_of(op: str) -> str:
    """ "conv2d" of "aten::conv2d.padding", "add" of "add_" and "__iadd__", "rsub" of "__rsub__"; "" of foreign ops."""
    namespace, _, name = op.rpartition("::")
    if namespace and namespace not in _NAMESPACES:
        return ""
    name = name.split(".", 1)[0]
    dunder = _DUNDER.fullmatch(name)
    if dunder:
        return ("r" if dunder.group(1) == "r" else "") + dunder.group(2)
    return bare_name(op) if "mkldnn" in name.lower() else name.strip("_")


def translate(call: Call) -> Operation:
    """The operation of a node; raises Unsupported for what is not known here."""
    space, _, word = call.node.op.rpartition("::")
    found = QUANTIZED.get(word) if space == "quantized" else VOCABULARY.get(word_of(call.node.op))
    if found is None or call.node.kind == "opaque":
        raise call.unknown()
    if call.flag("stale"):
        raise call.unknown("an operand that was written in part since it was computed")
    return found(call)
