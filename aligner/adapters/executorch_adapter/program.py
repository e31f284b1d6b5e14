"""A method's instructions in order, and the names that the graph and the runs share."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from aligner.adapters.executorch_adapter.delegates import count_outputs
from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.operators import Signature, signature_of, word_of
from aligner.adapters.executorch_adapter.program_file import Inner, ProgramFile, bytes_of, is_constant
from aligner.records.dataclass import dataclass

_VIEW = "executorch_prim::et_view"


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction: ``op`` as PyTorch's users write it, ``arguments`` and ``writes`` as places of values.

    ``number``: None where two values lie in the same memory and no instruction is needed to view one as the other.
    """

    number: int | None
    op: str
    signature: Signature
    arguments: tuple[int, ...]
    writes: tuple[int, ...]
    views: bool = False
    """Whether its result is its first operand's memory."""
    inner: Inner | None = None
    """What a delegate of one node computes."""


@dataclass(frozen=True, slots=True)
class Program:
    """``values``: the method's own records. ``names`` of tensors that are fed or computed, and read; ``weights`` of
    stored ones, by their places. ``whole``: why the program is one step that nobody looks into; then no names are known
    but those of inputs and outputs.
    """

    values: Sequence[Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    steps: tuple[Step, ...]
    names: Mapping[int, str]
    weights: Mapping[int, str]
    computed: frozenset[int]
    """Numbers that are no tensors and that the program computes as it runs."""
    whole: str = ""

    def name_of(self, place: int) -> str:
        """The id of a value or the name of a weight."""
        return self.names.get(place) or self.weights.get(place, "")

    def is_tensor(self, place: int) -> bool:
        """Whether a value is a tensor."""
        return isinstance(self.values[place], executorch().schema.Tensor)

    def tensors(self, places: Iterable[int]) -> list[int]:
        """The tensors among some values, those in lists too, in order."""
        return [place for one in places for place in members(self.values, one) if place >= 0 and self.is_tensor(place)]

    def reads(self, step: Step) -> list[int]:
        """Every value that an instruction needs, what stands in its lists included."""
        found = [place for one in step.arguments for place in (one, *members(self.values, one)) if place >= 0]
        return [place for place in found if place not in step.writes]

    def stored(self, step: Step) -> list[int]:
        """What a delegate of one node keeps itself."""
        return [] if step.inner is None else [one for one in step.inner.operands if one not in step.arguments]

    def needed(self, wanted: Collection[int], cut: Collection[int]) -> list[Step]:
        """The steps on the way to some values; nothing is computed for what is cut, unless it is wanted itself."""
        todo, kept = set(wanted), []
        for step in reversed(self.steps):
            if todo.isdisjoint(step.writes):
                continue
            kept.append(step)
            todo.update(place for place in self.reads(step) if place not in cut)
        return kept[::-1]

    @property
    def sources(self) -> dict[int, int]:
        """View → the value whose memory it shows."""
        return {step.writes[0]: step.arguments[0] for step in self.steps if step.views}


def members(values: Sequence[Any], place: int) -> Sequence[int]:
    """What a list consists of, -1 for what is absent; a value that is no list is its own only member."""
    schema = executorch().schema
    held = values[place]
    if isinstance(held, (schema.TensorList, schema.OptionalTensorList, schema.IntList)):
        return [int(one) for one in held.items]
    return [place]


def read_program(file: ProgramFile) -> Program:
    """Read the instructions; a program that does anything but compute each value once becomes one step."""
    values = [value.val for value in file.method.values]
    reader = _Reader(file, values)
    whole = reader.read()
    steps = () if whole else tuple(reader.steps)
    inputs, outputs = tuple(file.method.inputs), tuple(dict.fromkeys(file.method.outputs))
    plain = Program(values, inputs, outputs, steps, {}, {}, frozenset(reader.computed), whole)
    outputs = tuple(place for place in outputs if plain.is_tensor(place))
    read = {place for step in steps for place in (*plain.reads(step), *plain.stored(step))} | set(outputs)
    names = {place: f"input_{number}" for number, place in enumerate(inputs)}
    taken = dict.fromkeys(names.values(), 0)
    for step in steps:
        results = [place for place in plain.tensors(step.writes) if place in read]
        base = _fresh(step.op.rpartition("::")[2].strip("_"), taken)
        for number, place in enumerate(results):
            names[place] = base if len(results) == 1 else f"{base}.{number}"
    if whole:
        names |= {place: f"output_{number}" for number, place in enumerate(outputs) if place not in names}
    constants = [place for place in sorted(read) if plain.is_tensor(place) and is_constant(values[place])]
    weights = {place: f"constant_{values[place].data_buffer_idx}.{place}" for place in constants if place not in names}
    return Program(values, inputs, outputs, steps, names, weights, plain.computed, whole)


class _Reader:
    """Follows the instructions, and says where values are not computed once each."""

    def __init__(self, file: ProgramFile, values: Sequence[Any]) -> None:
        self._method = method = file.method
        self._data, self._inside = file.content.program.backend_delegate_data, file.inside
        self._values, self._schema = values, executorch().schema
        self.steps: list[Step] = []
        self._doubt = ""
        self._last_reads = {
            one: number
            for number, instruction in enumerate(method.chains[0].instructions if method.chains else ())
            for place in getattr(instruction.instr_args, "args", ())
            for one in members(values, place)
        } | dict.fromkeys(method.outputs, sys.maxsize)
        """Value → the last instruction that speaks of it."""
        self.computed: set[int] = set()
        self._holds: dict[tuple[int, int, int], int] = {}
        """Memory (arena, offset) → the value that was written there last."""
        for place in method.inputs:
            self._keep(place)
        self._known = {place for place, value in enumerate(values) if not self._unwritten(value)} | set(method.inputs)

    def _unwritten(self, value: Any) -> bool:
        return isinstance(value, self._schema.Tensor) and not is_constant(value)

    def _keep(self, place: int) -> None:
        memory = getattr(self._values[place], "allocation_info", None)
        if memory is None:
            return
        begin, end = self._extent(place)
        for address, other in list(self._holds.items()):
            first, last = self._extent(other)
            if address[0] == memory.memory_id and first < end and begin < last:
                del self._holds[address]
        self._holds[_address(memory)] = place

    def _extent(self, place: int) -> tuple[int, int]:
        """Where a value begins and ends in its arena."""
        memory = self._values[place].allocation_info
        begin = (memory.memory_offset_high << 32) + memory.memory_offset_low
        return begin, begin + bytes_of(self._values[place])

    def _viewed(self, place: int) -> int | None:
        """The value that one which nobody wrote shows in another shape; None where none lies in its memory."""
        held = self._values[place]
        memory = getattr(held, "allocation_info", None)
        source = self._holds.get(_address(memory)) if memory is not None else None
        if source is None or held.shape_dynamism.name != "STATIC":
            return None
        below = self._values[source]
        alike = below.scalar_type == held.scalar_type and below.shape_dynamism == held.shape_dynamism
        return source if alike and bytes_of(below) == bytes_of(held) else None

    def _is_view(self, place: int) -> bool:
        """Whether it shows another value; adds the step that says so."""
        source = self._viewed(place)
        if source is not None:
            self.steps.append(Step(None, "aten::view", Signature(), (source,), (place,), views=True))
            self._known.add(place)
        return source is not None

    def read(self) -> str:
        """The steps; returns why they are not all that happens, "" where they are."""
        if len(self._method.chains) != 1:
            return "several chains of instructions"
        for number, instruction in enumerate(self._method.chains[0].instructions):
            call = instruction.instr_args
            if isinstance(call, self._schema.KernelCall):
                step = self._kernel(number, call)
            elif isinstance(call, self._schema.DelegateCall):
                step = self._delegate(number, call)
            else:
                return "it has control flow"
            if self._doubt:
                return self._doubt
            if step.signature.overwritten or any(place in self.computed for place in step.writes):
                return f"{step.op} changes a tensor in place"
            tensors = [place for place in step.writes if isinstance(self._values[place], self._schema.Tensor)]
            if any(place in self._known for place in tensors):
                return f"{step.op} writes to memory that holds another value"
            unknown = self._unknown(step)
            if unknown is not None:
                start = "" if self._values[unknown].data_buffer_idx else ", and no file says what the first one finds"
                return f"{step.op} reads what an earlier run left{start}"
            self.computed.update(place for place in step.writes if place not in tensors)
            self._known.update(step.writes)
            for place in tensors:
                self._keep(place)
            self.steps.append(step)
        if not all(place in self._known or self._is_view(place) for place in self._method.outputs):
            return "an output is what an earlier run left"
        return ""

    def _unknown(self, step: Step) -> int | None:
        """A value that is read and that nothing has written."""
        places = [place for one in step.arguments for place in members(self._values, one) if place >= 0]
        unwritten = (place for place in places if place not in self._known and place not in step.writes)
        return next((place for place in unwritten if not self._is_view(place)), None)

    def _kernel(self, number: int, call: Any) -> Step:
        operator = self._method.operators[call.op_index]
        signature = signature_of(operator.name, operator.overload)
        rooms = [call.args[place] for place in sorted(signature.written) if place < len(call.args)]
        written = rooms or call.args[-1:]  # what has no schema returns into its last argument
        if not signature.names and not operator.name.startswith("executorch_prim::"):
            self._doubt = f"nothing is known of {operator.name}"
        writes = dict.fromkeys(place for one in written for place in members(self._values, one) if place >= 0)
        op, views = word_of(operator.name), operator.name == _VIEW
        return Step(number, op, signature, tuple(call.args), tuple(writes), views)

    def _delegate(self, number: int, call: Any) -> Step:
        """It lists what it reads, then what it writes, and where that begins its own data say, if anything."""
        inner = self._inside.get(call.delegate_index)
        if inner is not None:
            args = tuple(call.args)
            return Step(number, f"xnnpack::{inner.op}", Signature(), args, args[-1:], inner=inner)
        delegate = self._method.delegates[call.delegate_index]
        count = count_outputs(delegate.id, self._data[delegate.processed.index].data)
        unknown = [k for k, place in enumerate(call.args) if place not in self._known]
        begin = max((k for k in range(len(call.args)) if k not in unknown), default=0) + 1
        begin = min(begin, len(call.args) - 1) if count is None else len(call.args) - count
        for k in unknown:
            place = call.args[k]
            source = self._viewed(place)
            if k < begin and source is None:
                self._doubt = f"{delegate.id} reads what an earlier run left"
            elif k < begin:
                self._is_view(place)
            elif count is None and source is not None and place != call.args[-1]:
                self._settle(number, place, source, delegate.id)
        writes = call.args[begin:] if count is not None else [one for one in call.args if one not in self._known]
        return Step(number, f"delegate::{delegate.id}", Signature(), tuple(call.args), tuple(writes))

    def _settle(self, number: int, place: int, source: int, backend: str) -> None:
        """Whether what lies where another value was is that one, read, or a new one, written."""
        if self._last_reads[place] == number or self._last_reads[source] > number:
            self._is_view(place)
        else:
            self._doubt = f"it cannot be told what {backend} reads, and what it writes"


def _address(memory: Any) -> tuple[int, int, int]:
    return memory.memory_id, memory.memory_offset_high, memory.memory_offset_low


def _fresh(name: str, taken: dict[str, int]) -> str:
    """ "relu", "relu_1", … as exported programs count."""
    found = name
    while found in taken:
        taken[name] += 1
        found = f"{name}_{taken[name]}"
    taken[found] = 0
    return found
