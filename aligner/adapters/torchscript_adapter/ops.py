"""What a TorchScript node says of itself: its schema, its attributes, its module, its line in the source."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

from aligner.adapters.aten_kinds import kind_of, normalise_attributes
from aligner.adapters.torchscript_adapter.operands import UNKNOWN, is_tensor
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class OpSchema:
    """Arguments by position; ``writes`` is the operand that the op overwrites, ``views`` whether results may alias."""

    arguments: tuple[str, ...]
    optional_tensors: frozenset[int]
    writes: int | None
    views: bool


_EXECUTION_ONLY = frozenset({"non_blocking", "copy", "pin_memory", "device", "layout", "memory_format", "generator"})
"""Arguments that say how or where to compute, not what."""

_DTYPES = (
    "uint8 int8 int16 int32 int64 float16 float32 float64 complex32 complex64 complex128 bool "
    "qint8 quint8 qint32 bfloat16"
).split()
"""c10::ScalarType: in graphs, dtypes are plain numbers."""

_NO_SCHEMA = OpSchema((), frozenset(), None, False)


def schema_of(node: Any) -> OpSchema:
    """The schema of the node's overload; an empty one for what has none (``prim::If``)."""
    return _parsed(node.schema())


@functools.lru_cache(maxsize=4096)
def _parsed(text: str) -> OpSchema:
    import torch

    try:
        schema = torch._C.parse_schema(text)
    except RuntimeError:  # "(no schema)", or one with a variable number of arguments
        return _NO_SCHEMA
    tensors = {index for index, argument in enumerate(schema.arguments) if is_tensor(argument.type)}
    writes = [index for index in sorted(tensors) if _alias(schema.arguments[index]) == "write"]
    return OpSchema(
        tuple(argument.name for argument in schema.arguments),
        frozenset(index for index, argument in enumerate(schema.arguments) if str(argument.type) == "Optional[Tensor]"),
        writes[0] if writes else None,
        any(_alias(result) == "view" for result in schema.returns),
    )


def _alias(argument: Any) -> str | None:
    alias = argument.alias_info
    if alias is None:
        return None
    return "write" if alias.is_write else "view"


def attributes_of(node: Any, known: Callable[[Any], Any], weight_shape: Sequence[int] | None) -> dict[str, Any]:
    """Arguments that hold no tensor and are known without running, in neutral names."""
    import torch

    arguments: dict[str, Any] = {}
    computed: list[str] = []
    for name, value in zip(schema_of(node).arguments, node.inputs(), strict=False):
        constant = known(value)
        if constant is UNKNOWN and value.type().kind() in _NUMBERS:
            computed.append(name)
        if constant is UNKNOWN or constant is Ellipsis or constant is None or isinstance(constant, torch.Tensor):
            continue
        if name in _EXECUTION_ONLY:
            continue
        if isinstance(constant, list | tuple):
            if all(item is UNKNOWN for item in constant) and constant:
                continue
            constant = [None if item is UNKNOWN else item for item in constant]
        arguments[name] = _DTYPES[constant] if name == "dtype" and constant in range(len(_DTYPES)) else constant
    transposed = arguments.pop("transposed", False)
    if not transposed and node.kind() == "aten::_convolution":
        arguments.pop("output_padding", None)
    found = normalise_attributes(node.kind(), arguments, weight_shape)
    return found | {"computed": tuple(computed)} if computed else found


_NUMBERS = frozenset({"IntType", "FloatType", "BoolType", "NumberType"})


def kind_of_node(node: Any, known: Callable[[Any], Any]) -> str:
    """The neutral kind; the general convolution is told from its transpose by its flag."""
    op: str = node.kind()
    if op in ("aten::_convolution", "aten::convolution"):
        flag = schema_of(node).arguments.index("transposed")
        return "conv_transpose" if known(list(node.inputs())[flag]) is True else "conv"
    if schema_of(node).writes is not None and op in ("aten::copy_", "aten::fill_", "aten::zero_"):
        return "scatter"  # mostly ``x[…] = value``: part of a tensor is replaced
    if op in ("prim::CallMethod", "prim::CallFunction", "prim::fork", "aten::wait"):
        return "opaque"
    if op in ("prim::GetAttr", "prim::unchecked_cast", "prim::TupleIndex", "prim::TupleUnpack", "prim::ListUnpack"):
        return "identity"
    return kind_of(op)


_HIERARCHY = re.compile(r"(?P<name>.*)\((?P<kind>[^()]*)\)")
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)|^\s*(?P<traced>\S.*?)\((?P<traced_line>\d+)\):', re.M)
_TORCH = re.compile(r"(?:site-packages|dist-packages|__torch__)/torch/|<string>|^torch/")


def scope_of(node: Any) -> str | None:
    """The module path: of the call stack that inlining left, else of the tracer's scope; None at the top."""
    hierarchy = node.getModuleHierarchy()
    if hierarchy:
        names = []
        for part in hierarchy.split(")."):
            match = _HIERARCHY.fullmatch(part if part.endswith(")") else part + ")")
            name = match["name"].strip(".") if match else ""
            if name and name not in ("SELF", "UNKNOWN_INSTANCE", "TOP"):
                names.append(name)
        return ".".join(names) or None
    last = node.scopeName().rsplit("/", 1)[-1]
    return last.rsplit("::", 1)[-1].removeprefix("__module").strip(".") or None if "__module" in last else None


def source_of(node: Any) -> str | None:
    """ "file.py:12": the innermost frame outside torch itself, else the innermost one; None where nothing was kept."""
    return source_line(node.sourceRange())


def source_line(text: str) -> str | None:
    """Likewise, from the text of a source range or a traceback."""
    original, _, serialized = text.partition("Serialized ")
    for part in (original, serialized):
        frames = [
            (match["file"] or match["traced"], match["line"] or match["traced_line"]) for match in _FRAME.finditer(part)
        ]
        if frames:
            file, line = next((frame for frame in frames if not _TORCH.search(frame[0])), frames[0])
            return f"{_short(file)}:{line}"
    return None


def _short(file: str) -> str:
    """Name and nothing more for the model's own files; within torch or an archive, the path inside it."""
    for marker in ("site-packages/torch/", "dist-packages/torch/"):
        if marker in file:
            return "torch/" + file.split(marker, 1)[1]
    return file if file.startswith("code/") else file.replace("\\", "/").rsplit("/", 1)[-1]
