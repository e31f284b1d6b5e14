"""A .pte file: its bytes, and what it declares."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from aligner.adapters.border import reading
from aligner.adapters.executorch_adapter.library import executorch
from aligner.errors import ModelError, ModelFormatError, UnsupportedModelError, listing
from aligner.records.dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Inner:
    """A node of a delegate's own graph; ``operands``: places of values, stored ones included, in the node's order."""

    op: str
    kind: str
    attributes: Mapping[str, Any]
    operands: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProgramFile:
    """``data``: the whole file, which the runtime reads in place. ``content``: ExecuTorch's own record of it.

    ``plan``: the method that is looked at, by its place. ``inside``: delegate → the node that it is, of those that were
    taken apart. ``held``: stored tensors of these, numbered behind the program's own constants.
    """

    data: bytes
    content: Any
    plan: int
    inside: Mapping[int, Inner] = field(default_factory=dict)
    held: Sequence[bytes] = ()

    @property
    def method(self) -> Any:
        """The method's own record: values, operators, instructions."""
        return self.content.program.execution_plan[self.plan]

    def stored(self, tensor: Any) -> bytes:
        """What a constant holds."""
        buffers = self.content.program.constant_buffer
        number = tensor.data_buffer_idx - len(buffers)
        found: bytes = self.held[number] if number >= 0 else buffers[tensor.data_buffer_idx].storage
        return found

    def is_held(self, value: Any) -> bool:
        """Whether a value is stored in a delegate, and not known to the program."""
        return getattr(value, "data_buffer_idx", 0) >= len(self.content.program.constant_buffer)


def read_file(path: Path, method: str | None) -> ProgramFile:
    """The program; ``method``: its name, "forward" or the only one without. Raises ModelFormatError or ModelError."""
    data = path.read_bytes()
    with reading(path.name):
        try:
            content = executorch().files.deserialize_pte_binary(data)
        except (struct.error, MemoryError) as error:
            raise ModelFormatError(
                f"{path.name} is no whole ExecuTorch program", found=str(error), hint="write it again"
            ) from error
        names = [plan.name for plan in content.program.execution_plan]
        wanted = method or (names[0] if len(names) == 1 else "forward")
        if wanted not in names:
            raise ModelError(
                f"{path.name} has no method {wanted}", found=f"its methods: {listing(names)}", hint="use --signature"
            )
        found = ProgramFile(data, content, names.index(wanted))
        _check(found, path.name)
        return found


def _check(file: ProgramFile, name: str) -> None:
    """Every value that is spoken of exists, every constant has the bytes that its shape takes."""
    schema, method, buffers = executorch().schema, file.method, file.content.program.constant_buffer
    if any(_is_external(value.val) for value in method.values):
        raise UnsupportedModelError(
            f"{name} keeps its weights in another file",
            found="tensors of a .ptd file",
            hint="write the program with its weights inside (ExecutorchBackendConfig(external_constants=False))",
        )
    for place in (*method.inputs, *method.outputs):
        if not 0 <= place < len(method.values):
            raise ModelFormatError(
                f"{name} speaks of a value that it does not have", found=str(place), hint="remake it"
            )
    for place in method.inputs:
        if not isinstance(method.values[place].val, schema.Tensor):
            raise UnsupportedModelError(
                f"{name} takes an input that is no tensor",
                found=type(method.values[place].val).__name__,
                hint="export it with tensors alone",
            )
    for value in method.values:
        tensor = value.val
        if isinstance(tensor, schema.Tensor) and is_constant(tensor):
            held = buffers[tensor.data_buffer_idx].storage
            if any(size < 0 for size in tensor.sizes) or bytes_of(tensor) > len(held):
                raise ModelFormatError(
                    f"{name} has a constant shorter than its shape says",
                    found=f"{list(tensor.sizes)}, {len(held)} bytes",
                    hint="write it again",
                )


def _is_external(value: Any) -> bool:
    location = getattr(getattr(value, "extra_tensor_info", None), "location", None)
    return location is not None and location.name == "EXTERNAL"


def is_constant(tensor: Any) -> bool:
    """Whether a tensor's numbers stand in the file and never change."""
    return tensor.data_buffer_idx > 0 and tensor.allocation_info is None


def bytes_of(tensor: Any) -> int:
    """What a tensor takes at most."""
    size: int = torch_dtype(tensor).itemsize
    total: int = math.prod(tensor.sizes) * size
    return total


def torch_dtype(tensor: Any) -> Any:
    """PyTorch's dtype of a tensor: both number them alike. Raises LookupError for one that PyTorch does not have."""
    import torch

    word = _WORDS.get(tensor.scalar_type.name, tensor.scalar_type.name.lower())
    found = getattr(torch, word, None)
    if not isinstance(found, torch.dtype):
        raise LookupError(f"tensors of {tensor.scalar_type.name}")
    return found


_WORDS = {
    "BYTE": "uint8",
    "CHAR": "int8",
    "FLOAT8E5M2": "float8_e5m2",
    "FLOAT8E4M3FN": "float8_e4m3fn",
    "FLOAT8E5M2FNUZ": "float8_e5m2fnuz",
    "FLOAT8E4M3FNUZ": "float8_e4m3fnuz",
}


def dtype_word(tensor: Any) -> str:
    """ "float32"."""
    return str(torch_dtype(tensor)).removeprefix("torch.")
