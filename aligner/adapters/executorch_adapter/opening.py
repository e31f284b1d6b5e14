"""Delegates of XNNPACK taken apart: each node of one becomes a delegate of its own, so that all between them is seen.

The kernels are those of the whole. What XNNPACK merges of a graph (an activation into what it follows) it then computes
one after the other; a program that is only run, not looked at, is left as it is.
"""

from __future__ import annotations

import copy
import dataclasses
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aligner.adapters.executorch_adapter.library import executorch
from aligner.adapters.executorch_adapter.program_file import Inner, ProgramFile, bytes_of
from aligner.adapters.executorch_adapter.xnnpack_graph import (
    Graph,
    alone,
    operands_of,
    read_graphs,
    stored_bytes,
    tensor_of,
    write_graphs,
)
from aligner.adapters.executorch_adapter.xnnpack_words import attributes_of, kind_of

_TYPES = {"xnn_datatype_fp32": "FLOAT", "xnn_datatype_fp16": "HALF"}


def opened(file: ProgramFile) -> ProgramFile:
    """The program with what XNNPACK computes in real numbers as single nodes; the same where nothing is taken apart."""
    data = file.content.program.backend_delegate_data
    places = [place for place, one in enumerate(file.method.delegates) if one.id == "XnnpackBackend"]
    if not places or len(file.method.chains) != 1:
        return file
    with suppress(KeyError, IndexError, TypeError, ValueError, struct.error):  # what is no graph stays as it is
        graphs = read_graphs(data[file.method.delegates[place].processed.index].data for place in places)
        return _Opening(file, dict(zip(places, graphs, strict=True))).result()
    return file


class _Opening:
    """The method while its delegates are exchanged."""

    def __init__(self, file: ProgramFile, graphs: Mapping[int, Graph]) -> None:
        self._file, self._graphs = file, graphs
        self._method = copy.copy(file.method)
        self._values, self._delegates = list(file.method.values), list(file.method.delegates)
        self._arenas = list(file.method.non_const_buffer_sizes) or [0]
        self._taken = 0
        self._written: list[Graph] = []
        self._inside: dict[int, Inner] = {}
        self._held: list[bytes] = []
        named = file.content.named_data
        self._named = (
            {} if named is None else {k: bytes(named.buffers[e.buffer_index]) for k, e in named.pte_data.items()}
        )

    def result(self) -> ProgramFile:
        """The program with all delegates taken apart that can be."""
        schema, program = executorch().schema, self._file.content.program
        chain = copy.copy(self._method.chains[0])
        chain.instructions = [new for old in chain.instructions for new in self._instructions(old)]
        held = list(program.backend_delegate_data)
        for data in write_graphs(self._written):
            held.append(schema.BackendDelegateInlineData(data=data))
        if len(held) != len(program.backend_delegate_data) + len(self._written) or not self._written:
            return self._file
        self._method.chains, self._method.values, self._method.delegates = [chain], self._values, self._delegates
        self._method.non_const_buffer_sizes = [*self._arenas, self._taken] if self._taken else self._arenas
        plans = list(program.execution_plan)
        plans[self._file.plan] = self._method
        changed = dataclasses.replace(program, execution_plan=plans, backend_delegate_data=held)
        content = dataclasses.replace(self._file.content, program=changed)
        return dataclasses.replace(self._file, content=content, inside=self._inside, held=self._held)

    def _instructions(self, instruction: Any) -> Sequence[Any]:
        call = instruction.instr_args
        if not isinstance(call, executorch().schema.DelegateCall):
            return [instruction]
        graph = self._graphs.get(call.delegate_index)
        return [instruction] if graph is None or not self._fits(graph, call) else list(self._nodes(graph, call))

    def _fits(self, graph: Graph, call: Any) -> bool:
        """Whether all is told of every node and value: real numbers of fixed sizes, in the order that they lie in."""
        tensors = [self._values[place].val for place in call.args]
        if not all(isinstance(one, executorch().schema.Tensor) for one in tensors):
            return False
        if any(value["xvalue_union_type"] != "XNNTensorValue" for value in graph["xvalues"]):
            return False
        records = [tensor_of(value) for value in graph["xvalues"]]
        outer = {one["external_id"]: one["dims"] for one in records if one["flags"] & 3}
        return (
            all(one["datatype"] in _TYPES for one in records)
            and all("output_id" in node["xnode_union"] for node in graph["xnodes"])
            and all(one.shape_dynamism.name == "STATIC" for one in tensors)
            and [outer.get(number) for number in range(len(tensors))] == [list(one.sizes) or [1] for one in tensors]
            and all(list(one.dim_order) == sorted(one.dim_order) for one in tensors)
        )

    def _nodes(self, graph: Graph, call: Any) -> Iterator[Any]:
        schema = executorch().schema
        records = {tensor_of(value)["id_out"]: tensor_of(value) for value in graph["xvalues"]}
        like = self._values[call.args[0]].val
        places = {
            one: call.args[record["external_id"]] if record["flags"] & 3 else self._place(graph, record, like)
            for one, record in records.items()
        }
        old = self._delegates[call.delegate_index]
        for node in graph["xnodes"]:
            operands = operands_of(node)
            fed = list(dict.fromkeys(one for one in operands if not records[one]["constant_buffer_idx"]))
            result = node["xnode_union"]["output_id"]
            self._inside[len(self._delegates)] = Inner(
                node["xnode_union_type"],
                kind_of(node),
                attributes_of(node),
                tuple(places[one] for one in operands),
            )
            number = len(self._file.content.program.backend_delegate_data) + len(self._written)
            self._written.append(alone(graph, node, fed))
            processed = schema.BackendDelegateDataReference(schema.DataLocation.INLINE, number)
            self._delegates.append(schema.BackendDelegate(old.id, processed, old.compile_specs))
            args = [places[one] for one in (*fed, result)]
            yield schema.Instruction(schema.DelegateCall(len(self._delegates) - 1, args))

    def _place(self, graph: Graph, record: Mapping[str, Any], like: Any) -> int:
        """A new value: a stored one, or one with memory of its own behind the plan."""
        schema = executorch().schema
        tensor = copy.copy(like)
        tensor.scalar_type = getattr(type(like.scalar_type), _TYPES[record["datatype"]])
        tensor.sizes, tensor.dim_order = list(record["dims"]), list(range(len(record["dims"])))
        tensor.data_buffer_idx, tensor.allocation_info, tensor.extra_tensor_info = 0, None, None
        if record["constant_buffer_idx"]:
            tensor.data_buffer_idx = len(self._file.content.program.constant_buffer) + len(self._held)
            self._held.append(stored_bytes(graph, record, self._named))
            if bytes_of(tensor) > len(self._held[-1]):
                raise ValueError("a stored tensor shorter than its shape says")
        else:
            low, high = self._taken & 0xFFFFFFFF, self._taken >> 32
            tensor.allocation_info = schema.AllocationDetails(len(self._arenas), low, high)
            self._taken += -(-bytes_of(tensor) // 64) * 64
        self._values.append(schema.EValue(tensor))
        return len(self._values) - 1
