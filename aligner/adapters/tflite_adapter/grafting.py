"""New operators in a TFLite file: values computed by other steps, in the object form that the schema's code unpacks."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Recompute, Step
from aligner.adapters.tflite_adapter.emission import emit
from aligner.adapters.tflite_adapter.emission.writer import Made, Writer
from aligner.adapters.tflite_adapter.graph import Naming
from aligner.adapters.tflite_adapter.patch import STATEFUL
from aligner.adapters.tflite_adapter.schema import NO_TENSOR, schema
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.graph import Graph

_MARK = "/fixed/"


def graft(unpacked: Any, names: Naming, graph: Graph, edit: Recompute) -> list[str]:
    """Let values be computed by the edit's steps; a line for each operator that came or went. Raises Unsupported.

    Nothing is changed where it raises. Real numbers are computed in float32: what is stored as integers of a grid is
    read and stored through operators that convert it.
    """
    grafting = _Grafting(unpacked, names, graph, edit)
    grafting.write()
    return grafting.put()


class _Grafting:
    def __init__(self, unpacked: Any, names: Naming, graph: Graph, edit: Recompute) -> None:
        self._unpacked, self._main, self._names, self._graph, self._edit = (
            unpacked,
            unpacked.subgraphs[0],
            names,
            graph,
            edit,
        )
        self._taken = set(names.indices)
        self._writer = Writer(self._fresh)
        self._before = {value: self._fresh(f"{value}/before", "") for value in edit.values}
        self._known: dict[str, str] = {}
        """The edit's names, and those of the model that are read as real numbers → tensors."""
        self._indices = dict(names.indices)

    def _fresh(self, word: str, stem: str | None = None) -> str:
        """A name that nothing has."""
        start = f"{next(iter(self._edit.values))}{_MARK}" if stem is None else stem
        name, count = f"{start}{word}", 1
        while name in self._taken:
            name, count = f"{start}{word}_{count}", count + 1
        self._taken.add(name)
        return name

    def write(self) -> None:
        """Work out the operators. Raises Unsupported."""
        for value in self._edit.values:
            if self._names.producer.get(self._names.indices.get(value, -1)) is None:
                raise Unsupported(f"{value} is not computed in the main subgraph")
        for step in self._edit.steps:
            data = tuple(self._read(given) for given in step.data)
            parameters = {role: self._read(given) for role, given in step.parameters.items()}
            found = emit(self._writer, Step(step.operation, data, step.results, parameters))
            if len(found) < len([name for name in step.results if name]):
                raise Unsupported(f"only {len(found)} results of {step.operation.kind}")
            self._known |= {own: name for own, name in zip(step.results, found, strict=False) if own}

    def _read(self, given: str | Array) -> str | Array:
        """A tensor of the file, as real numbers where it stands for some."""
        if not isinstance(given, str) or given in self._known:
            return given if not isinstance(given, str) else self._known[given]
        index = self._names.indices.get(given)
        if index is None:
            raise Unsupported(f"{given} is not in the main subgraph")
        name, dtype = self._before.get(given, given), self._dtype(given)
        if dtype in {"float16", "bfloat16", "float64"}:
            raise Unsupported(f"{given} is {dtype}")
        if self._grid(given):
            shown = np.broadcast_to(np.float32(0), tuple(self._main.tensors[index].shape))
            self._known[given] = self._writer("DEQUANTIZE", shown, name)
            return self._known[given]
        return name

    def _dtype(self, value: str) -> str:
        held = self._graph.values.get(value) or self._graph.weights[value]
        return held.dtype or ""

    def _grid(self, value: str) -> bool:
        held = self._graph.values.get(value) or self._graph.weights[value]
        return held.quantization is not None and bool(held.quantization.scale) and self._dtype(value) != "float32"

    def put(self) -> list[str]:
        """Put the operators in place."""
        operators = list(self._main.operators)
        dead = {id(one) for one in self._dead(operators)}
        place = max(self._names.producer[self._names.indices[value]] for value in self._edit.values) + 1
        for value, name in self._before.items():
            self._set_aside(operators, value, name)
        made = list(self._writer.made)
        for value, result in self._edit.values.items():
            made = self._handed(made, value, self._known.get(result, self._before.get(result, result)))
        new = [self._operator(one) for one in made]
        kept = operators[:place] + new + operators[place:]
        while gone := [one for one in self._dead(kept) if id(one) not in dead]:
            kept = [one for one in kept if one not in gone]
        left = [one for one in operators if one not in kept]
        self._main.operators = self._sorted(kept)
        self._forget(left)
        return [
            *(f"- {self._word(one)} {self._called(one)}" for one in left),
            *(f"+ {self._word(one)} {self._called(one)}: reads {self._reads(one)}" for one in new if one in kept),
        ]

    def _forget(self, left: list[Any]) -> None:
        """Drop the numbers that only these read."""
        read = {index for one in self._main.operators for index in one.inputs} | set(self._main.outputs)
        for index in {index for one in left for index in one.inputs} & self._names.constants - read:
            self._main.tensors[index].buffer = 0

    def _set_aside(self, operators: list[Any], value: str, name: str) -> None:
        """Give what computes a value another tensor for it."""
        import copy

        index = self._names.indices[value]
        tensor = copy.copy(self._main.tensors[index])
        tensor.name = name.encode()
        self._indices[name] = len(self._main.tensors)
        self._main.tensors.append(tensor)
        for one in operators:
            one.outputs = [self._indices[name] if each == index else each for each in one.outputs]
            if self._edit.outputs:
                one.inputs = [self._indices[name] if each == index else each for each in one.inputs]

    def _handed(self, made: list[Made], value: str, name: str) -> list[Made]:
        """Let a value be what a tensor is."""
        from dataclasses import replace

        index = self._names.indices[value]
        own = next((one for one in made if one.output == name), None)
        shape = self._writer.arrays[name].shape if name in self._writer.arrays else self._main.tensors[index].shape
        self._main.tensors[index].shape = list(shape)
        if self._grid(value):
            return [*made, Made("QUANTIZE", (name,), value, None)]
        if own is None:
            return [*made, Made("RESHAPE", (name, self._writer.integers(shape)), value, None)]

        def called(each: str) -> str:
            return value if each == name else each

        return [replace(one, inputs=tuple(map(called, one.inputs)), output=called(one.output)) for one in made]

    def _operator(self, one: Made) -> Any:
        inputs = [self._tensor(name) for name in one.inputs]
        operator = schema().OperatorT(code_of(self._unpacked, one.word), inputs=inputs)
        operator.outputs = [self._tensor(one.output)]
        if one.options is not None:
            word, told = one.options
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, word)
            operator.builtinOptions = getattr(schema(), f"{word}T")()
            for name, number in told.items():
                setattr(operator.builtinOptions, name, number)
        return operator

    def _tensor(self, name: str) -> int:
        """A tensor's index; a new one is made when it is first asked for."""
        if name not in self._indices:
            array = self._writer.arrays[name]
            if name in self._writer.constants and (held := self._held(array)) is not None:
                return held
            word = "float32" if array.dtype.kind == "f" else str(array.dtype)
            code = getattr(schema().TensorType, word.upper(), None)
            if code is None:
                raise Unsupported(word)
            tensor = schema().TensorT(shape=list(array.shape), type=code, name=name)
            tensor.hasRank = True
            if name in self._writer.constants:
                self._unpacked.buffers.append(schema().BufferT(data=octets(array)))
                tensor.buffer = len(self._unpacked.buffers) - 1
            self._indices[name] = len(self._main.tensors)
            self._main.tensors.append(tensor)
        return self._indices[name]

    def _held(self, array: Array) -> int | None:
        """The constant of a replaced operator that is the same."""
        for value in self._edit.values:
            node = self._graph.producer(value)
            for weight in node.weights if node is not None else ():
                known = self._graph.weights[weight]
                if known.shape != array.shape or known.dtype != str(array.dtype):
                    continue
                if np.array_equal(known.load(), array):
                    return self._names.indices[weight]
        return None

    def _dead(self, operators: list[Any]) -> list[Any]:
        """Operators that nobody reads, and that leave nothing behind."""
        read = {index for one in operators for index in one.inputs} | set(self._main.outputs)
        idle = [one for one in operators if not read & set(one.outputs)]
        return [one for one in idle if self._word(one) not in STATEFUL]

    def _sorted(self, operators: list[Any]) -> list[Any]:
        """Each behind what it reads, else as they stand. Raises Unsupported where an order means more than that."""
        producer = {index: place for place, one in enumerate(operators) for index in one.outputs}
        needs = [{producer[index] for index in one.inputs if index in producer} for one in operators]
        if all(max(need, default=-1) < place for place, need in enumerate(needs)):
            return operators
        if any(self._word(one) in STATEFUL for one in operators):
            raise Unsupported("operators with state in another order")
        waiting, found = [place for place, need in enumerate(needs) if not need], list[int]()
        while waiting:
            place = heapq.heappop(waiting)
            found.append(place)
            for other, need in enumerate(needs):
                if place in need:
                    need.discard(place)
                    if not need:
                        heapq.heappush(waiting, other)
        if len(found) != len(operators):
            raise Unsupported("operators in a circle")
        return [operators[place] for place in found]

    def _word(self, one: Any) -> str:
        code = self._unpacked.operatorCodes[one.opcodeIndex]
        number = max(code.builtinCode, code.deprecatedBuiltinCode)
        return next((name for name, value in vars(schema().BuiltinOperator).items() if value == number), "CUSTOM")

    def _called(self, one: Any) -> str:
        return ", ".join(self._name(index) for index in one.outputs)

    def _reads(self, one: Any) -> str:
        return ", ".join(self._name(index) for index in one.inputs if index != NO_TENSOR)

    def _name(self, index: int) -> str:
        """What the file called it before the edit."""
        name = self._main.tensors[index].name
        word = name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name or f"#{index}")
        return next((value for value, before in self._before.items() if before == word), word)


def code_of(unpacked: Any, word: str) -> int:
    """The place of an operator among the file's, which it takes if it is new there."""
    code = getattr(schema().BuiltinOperator, word)
    codes = unpacked.operatorCodes
    for place, one in enumerate(codes):
        if max(one.builtinCode, one.deprecatedBuiltinCode) == code:
            return place
    codes.append(schema().OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1))
    return len(codes) - 1


def octets(array: Array) -> Array:
    """An array's bytes, as the schema's code takes them."""
    return np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
