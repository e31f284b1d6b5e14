"""Rewrite a TFLite file by its offsets alone, so that what is not touched stays byte for byte.

Offsets of a flatbuffer only point forward, so new vectors are appended at the end and fields are led there. To inject,
every computed tensor gets a *twin*: a second tensor of the same type that nobody computes. An operator that reads the
twin of a tensor sees whatever is fed there. To run a part of the graph, the list of operators is overwritten in place.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import field
from functools import cached_property
from typing import Any

from aligner.adapters.tflite_adapter.flatbuffer import Appender, Table, damaged, unpack
from aligner.adapters.tflite_adapter.schema import Model, Subgraph, read_model, schema
from aligner.records.dataclass import dataclass

_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3
_OPERATOR_INPUTS = 1
_BUFFERS = 4
STATEFUL = frozenset({"VAR_HANDLE", "CALL_ONCE", "HASHTABLE", "READ_VARIABLE", "ASSIGN_VARIABLE"})


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the main subgraph: what is fed, what it gives, which operators run, which tensors are replaced."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: tuple[int, ...] | None = None
    """Indices of the operators that run, in order; None: all of them."""
    twinned: tuple[int, ...] = ()
    """Tensors whose consumers read a twin instead; the twins are fed after ``inputs``, in this order."""
    constants: Mapping[int, bytes] = field(default_factory=dict)
    """Tensors whose consumers read a twin that holds this constant content."""


@dataclass(frozen=True)
class Patcher:
    """Cuts of one model; the file with twins of all that is ``computed`` is made once, when it is first needed."""

    model: Model
    computed: tuple[int, ...]

    @cached_property
    def _twinned(self) -> Model:
        return read_model(_append_twins(self.model, self.computed, {}))

    def twin(self, index: int) -> int:
        """The index of a tensor's twin."""
        return len(self.model.main.tensors) + self._positions[index]

    @cached_property
    def _positions(self) -> dict[int, int]:
        return {index: position for position, index in enumerate(self.computed)}

    @cached_property
    def divisible(self) -> bool:
        """Whether operators may run in parts: no state between them, no order beyond the dataflow, movable tables."""
        main = self.model.main
        handles = {tensor.index for tensor in main.tensors if tensor.dtype in {"resource", "variant"}}
        if self.model.controlled or any(o.op in STATEFUL or handles & {*o.inputs, *o.outputs} for o in main.operators):
            return False
        vector = main.table.vector(_OPERATORS, 4)
        last = vector.position + 4 * vector.length if vector else 0
        return all(operator.table.position >= last for operator in main.operators)

    def cut(self, cut: Cut) -> bytes:
        """The file that runs this part."""
        model = self.model
        if cut.constants:
            model = read_model(_append_twins(model, self.computed, cut.constants))
        elif cut.twinned:
            model = self._twinned
        target, main = Appender(model.data), model.main
        _lead(target, main, _INPUTS, cut.inputs + tuple(self.twin(index) for index in cut.twinned))
        _lead(target, main, _OUTPUTS, cut.outputs)
        replaced = {index: self.twin(index) for index in (*cut.twinned, *cut.constants)}
        for operator in main.operators:
            if not replaced.keys().isdisjoint(operator.inputs):
                indices = [replaced.get(index, index) for index in operator.inputs]
                target.repoint(operator.table.field(_OPERATOR_INPUTS), target.append_integers(indices))
        if cut.operators is not None and len(cut.operators) != len(main.operators):
            _select(target, main, cut.operators)
        return target.bytes()


def _lead(target: Appender, main: Subgraph, number: int, indices: tuple[int, ...]) -> None:
    if indices == (main.inputs if number == _INPUTS else main.outputs):
        return
    place = main.table.field(number)
    if not place:
        raise damaged("the main subgraph has no list of inputs or outputs")
    target.repoint(place, target.append_integers(list(indices)))


def _select(target: Appender, main: Subgraph, operators: Sequence[int]) -> None:
    vector = main.table.vector(_OPERATORS, 4)
    if vector is None or len(operators) > vector.length:
        raise damaged("the main subgraph has no list of operators")
    for position, index in enumerate(operators):
        target.repoint(vector.position + 4 * position, main.operators[index].table.position)
    target.write(vector.position - 4, "I", len(operators))


def _append_twins(model: Model, computed: Sequence[int], constants: Mapping[int, bytes]) -> bytes:
    """The file with a longer vector of tensors at its end, all of them and then the twins; likewise its buffers.

    Buffers are described by their place in the file, which leaves their content where it is.
    """
    target = Appender(model.data)
    tensors = [_unpacked("TensorT", tensor.table) for tensor in model.main.tensors]
    buffers = [_unpacked_buffer(table) for table in Table.root(model.data).tables(_BUFFERS)] if constants else []
    builder = importlib.import_module("flatbuffers").Builder(1024)
    packed = [tensor.Pack(builder) for tensor in tensors]
    for index in computed:
        twin = tensors[index]
        twin.buffer, twin.isVariable, twin.sparsity = 0, False, None
        if constants.get(index):
            twin.buffer = len(buffers)
            buffers.append(schema().BufferT(offset=target.append(constants[index]), size=len(constants[index])))
        packed.append(twin.Pack(builder))
    _append_vector(target, builder, packed, model.main.table.field(_TENSORS))
    if constants:
        builder = importlib.import_module("flatbuffers").Builder(1024)
        place = Table.root(model.data).field(_BUFFERS)
        _append_vector(target, builder, [buffer.Pack(builder) for buffer in buffers], place)
    return target.bytes()


def _append_vector(target: Appender, builder: Any, tables: Sequence[int], place: int) -> None:
    builder.StartVector(4, len(tables), 4)
    for offset in reversed(tables):
        builder.PrependUOffsetTRelative(offset)
    builder.Finish(builder.EndVector())
    content = bytes(builder.Output())
    target.repoint(place, target.append(content) + unpack(content, "I", 0))


def _unpacked(word: str, table: Table) -> Any:
    return getattr(schema(), word).InitFromBuf(table.data, table.position)


def _unpacked_buffer(table: Table) -> Any:
    vector = table.vector(0, 1)
    if vector is None or not vector.length:
        return schema().BufferT(offset=table.scalar(1, "Q"), size=table.scalar(2, "Q"))
    return schema().BufferT(offset=vector.position, size=vector.length)
