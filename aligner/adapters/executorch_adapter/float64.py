"""A program in float64: PyTorch's portable kernels compute in the dtype that a program gives its tensors."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.operators import signature_of
from aligner.adapters.executorch_adapter.program_file import ProgramFile, is_constant, torch_dtype
from aligner.errors import UnsupportedModelError

_NARROW = frozenset({"FLOAT", "HALF", "BFLOAT16"})
_GROWN = 4
"""How much longer a tensor becomes at most, from two bytes to eight: the memory plan is stretched by that, so that what
lay apart lies apart, and what shared memory still does."""


def widened(file: ProgramFile) -> ProgramFile:
    """The program with every float a double. Raises UnsupportedModelError for one with delegates."""
    if file.method.delegates:
        raise UnsupportedModelError(
            "the program cannot be run in float64",
            found=f"{len(file.method.delegates)} delegate(s), which compute in what they were made for",
            hint="make it without a partitioner",
        )
    schema, program = executorch().schema, file.content.program
    method, buffers = copy.deepcopy(file.method), list(program.constant_buffer)
    for number, value in enumerate(file.method.values):
        tensor = method.values[number].val
        if not isinstance(tensor, schema.Tensor):
            continue
        _stretch(tensor)
        if tensor.scalar_type.name in _NARROW:
            if is_constant(tensor):
                stored = program.constant_buffer[tensor.data_buffer_idx].storage
                buffers[tensor.data_buffer_idx] = schema.Buffer(_doubles(stored, value.val))
            tensor.scalar_type = type(tensor.scalar_type).DOUBLE
    method.non_const_buffer_sizes = [size * _GROWN for size in method.non_const_buffer_sizes]
    _rename_dtypes(method)
    content = dataclasses.replace(
        file.content, program=dataclasses.replace(program, execution_plan=[method], constant_buffer=buffers)
    )
    data = bytes(executorch().files.serialize_pte_binary(copy.deepcopy(content)))
    return dataclasses.replace(file, data=data, content=content, plan=0)


def _stretch(tensor: Any) -> None:
    memory = tensor.allocation_info
    if memory is not None:
        begin = ((memory.memory_offset_high << 32) + memory.memory_offset_low) * _GROWN
        memory.memory_offset_low, memory.memory_offset_high = begin & 0xFFFFFFFF, begin >> 32


def _doubles(stored: bytes, tensor: Any) -> bytes:
    import torch

    dtype = torch_dtype(tensor)
    whole = len(stored) // dtype.itemsize * dtype.itemsize
    flat = torch.frombuffer(bytearray(stored[:whole]), dtype=dtype) if whole else torch.empty(0, dtype=dtype)
    return bytes(flat.double().numpy().tobytes())


def _rename_dtypes(method: Any) -> None:
    """Arguments that name a dtype name the wide one; values are shared, so they get a value of their own."""
    schema = executorch().schema
    types: Any = next((type(one.val.scalar_type) for one in method.values if isinstance(one.val, schema.Tensor)), None)
    for instruction in method.chains[0].instructions if types is not None else ():
        call = instruction.instr_args
        if not isinstance(call, schema.KernelCall):
            continue
        operator = method.operators[call.op_index]
        said = signature_of(operator.name, operator.overload).names
        for number, (name, place) in enumerate(zip(said, call.args, strict=False)):
            held = method.values[place].val
            if name == "dtype" and isinstance(held, schema.Int) and types(held.int_val).name in _NARROW:
                method.values.append(schema.EValue(schema.Int(int(types.DOUBLE))))
                call.args[number] = len(method.values) - 1
