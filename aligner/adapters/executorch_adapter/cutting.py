"""A program of some of a method's instructions, which shows what they compute and reads what it is given instead.

ExecuTorch plans memory ahead: values that are not needed at the same time share it. What is shown gets memory of its
own, in an arena behind those of the plan, so that it is still there when the program has run; all else stays in its
place.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.program import Program, Step
from aligner.adapters.executorch_adapter.program_file import ProgramFile, bytes_of, is_constant

_ALIGNMENT = 64
"""Bytes: a cache line, more than any kernel asks for (ExecuTorch's own plans use 16)."""


def cut_program(
    file: ProgramFile, program: Program, shown: Sequence[int], given: Mapping[int, tuple[int, ...]]
) -> bytes:
    """Write the program. Its inputs are the method's, behind them one for each value ``given``, of the shape there;
    its outputs are ``shown``.
    """
    steps = program.needed(shown, given.keys())
    method = copy.copy(file.method)
    nothing = executorch().schema.Null()
    method.values = [copy.copy(value) for value in method.values]
    for value in method.values:
        value.val = nothing if file.is_held(value.val) else copy.copy(value.val)
    method.inputs, method.outputs = list(method.inputs), list(shown)
    stand_ins = {place: _add_input(method, place, shape) for place, shape in given.items()}
    method.chains = [_chain(method, file.method.chains[0], program, steps, stand_ins)]
    _give_room(method, steps, shown, stand_ins)
    data = _take_delegates(method, file.content.program.backend_delegate_data)
    content = dataclasses.replace(
        file.content,
        program=dataclasses.replace(file.content.program, execution_plan=[method], backend_delegate_data=data),
    )
    written = executorch().files.serialize_pte_binary(content, extract_delegate_segments=True)
    return bytes(written)


def _take_delegates(method: Any, data: Sequence[Any]) -> list[Any]:
    """Leave those delegates that are called, which alone the runtime then makes ready; returns their data."""
    calls = [one.instr_args for one in method.chains[0].instructions if hasattr(one.instr_args, "delegate_index")]
    kept = dict.fromkeys(call.delegate_index for call in calls)
    places = {old: new for new, old in enumerate(kept)}
    for call in calls:
        call.delegate_index = places[call.delegate_index]
    found = [copy.copy(method.delegates[old]) for old in kept]
    taken = [data[one.processed.index] for one in found]
    for number, one in enumerate(found):
        one.processed = dataclasses.replace(one.processed, index=number)
    method.delegates = found
    return taken


def _add_input(method: Any, place: int, shape: tuple[int, ...]) -> int:
    """A value like another, that is fed: the runtime reads it where it stands."""
    schema = executorch().schema
    like = method.values[place].val
    fed = copy.copy(like)
    fed.sizes, fed.allocation_info, fed.data_buffer_idx, fed.extra_tensor_info = list(shape), None, 0, None
    fed.shape_dynamism = schema.TensorShapeDynamism.STATIC
    method.values.append(schema.EValue(fed))
    method.inputs.append(len(method.values) - 1)
    return len(method.values) - 1


def _chain(method: Any, whole: Any, program: Program, steps: Sequence[Step], stand_ins: Mapping[int, int]) -> Any:
    chain = copy.copy(whole)
    chain.stacktrace = None
    chain.instructions = []
    lists: dict[int, int] = {}
    for step in steps:
        if step.number is None:
            continue
        instruction = copy.copy(whole.instructions[step.number])
        call = instruction.instr_args = copy.copy(instruction.instr_args)
        call.args = [
            place if place in step.writes else _instead(method, program, place, stand_ins, lists, step)
            for place in step.arguments
        ]
        chain.instructions.append(instruction)
    return chain


def _instead(
    method: Any, program: Program, place: int, stand_ins: Mapping[int, int], lists: dict[int, int], step: Step
) -> int:
    """What an instruction reads in the place of a value; of a list whose members are given, another list."""
    if place in stand_ins:
        return stand_ins[place]
    schema = executorch().schema
    held = program.values[place]
    if not isinstance(held, (schema.TensorList, schema.OptionalTensorList)) or set(held.items) <= set(step.writes):
        return place
    if stand_ins.keys().isdisjoint(held.items):
        return place
    if place not in lists:
        items = [stand_ins.get(one, one) for one in held.items]
        method.values.append(schema.EValue(dataclasses.replace(held, items=items)))
        lists[place] = len(method.values) - 1
    return lists[place]


def _give_room(method: Any, steps: Sequence[Step], shown: Sequence[int], stand_ins: Mapping[int, int]) -> None:
    """Memory of their own for what is shown and what lies in the same memory; views of what is fed lie there."""
    schema = executorch().schema
    roots = {place: place for place in range(len(method.values))}
    for step in steps:
        if step.views:
            source = step.arguments[0]
            roots[step.writes[0]] = roots[stand_ins.get(source, source)]
    fed = set(stand_ins.values())
    wanted = {roots[place] for place in shown}
    sizes = list(method.non_const_buffer_sizes) or [0]
    taken, arena, rooms = 0, len(sizes), dict[int, Any]()
    for root in sorted(wanted):
        tensor = method.values[root].val
        if root not in fed and not is_constant(tensor):
            rooms[root] = schema.AllocationDetails(arena, taken & 0xFFFFFFFF, taken >> 32)
            taken += -(-bytes_of(tensor) // _ALIGNMENT) * _ALIGNMENT
    for place, root in roots.items():
        if root in rooms:
            method.values[place].val.allocation_info = rooms[root]
        elif root in fed and place not in fed:
            method.values[place].val.allocation_info = None
    if taken:
        sizes.append(taken)
    method.non_const_buffer_sizes = sizes
