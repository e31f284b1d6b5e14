"""PyTorch's names of its operators, as eager calls, TorchScript and exported programs spell them."""

from __future__ import annotations

import re

_KERNELS = re.compile(r"^mkldnn_?(?=.)", re.IGNORECASE)
"""What oneDNN's kernels for an operation are called before its name; what they compute is the same."""
_REFLECTED = re.compile(r"__([ri]?)([a-z]+)__")
_DUNDERS = frozenset({"add", "sub", "mul", "matmul", "truediv", "div", "floordiv", "mod", "pow"}) | {
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
}


def bare_name(op: str) -> str:
    """Strip namespace, overload, dunders and the in-place underscore: "aten::add_.Tensor" and "__iadd__" → "add"."""
    name = op
    if "::" in name:
        name = name.split("::", 1)[1].split(".", 1)[0]
    name = _KERNELS.sub("", name.rsplit(".", 1)[-1])
    dunder = _REFLECTED.fullmatch(name)
    if dunder:
        prefix, word = dunder.groups()
        if word in _DUNDERS:
            return "rsub" if (prefix, word) == ("r", "sub") else word
        return prefix + word
    return name.rstrip("_") if not name.startswith("__") else name.strip("_")


def is_inplace(op: str) -> bool:
    """Whether the op's name says that it overwrites its first operand ("add_", "__iadd__", "__setitem__", "copy_")."""
    name = op.split("::", 1)[-1].split(".", 1)[0]
    if name == "__setitem__":
        return True
    dunder = _REFLECTED.fullmatch(name)
    if dunder:
        return dunder.group(1) == "i" and dunder.group(2) in _DUNDERS
    return name.endswith("_") and not name.endswith("__")
