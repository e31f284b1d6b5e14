"""A TFLite model under the knife: who makes a tensor, who reads it, and edits that keep the rest intact."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from benchmarks.faults.architectures import Feeds, channels_fitted

Operator = Any
PASSING = frozenset({"QUANTIZE", "DEQUANTIZE", "CAST"})
"""Operations whose output is the same tensor in other clothes."""
MOVING = frozenset({"RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS", "BATCH_TO_SPACE_ND"})
"""Operations that move numbers about and compute nothing."""
_WORDS = {value: name for name, value in vars(schema.BuiltinOperator).items() if name[0].isalpha()}
_DTYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
_NUMPY = {value: name for name, value in _DTYPES.items()}


class TfliteModel:
    """The main subgraph; tensors go by their index, and edits only ever append to them."""

    def __init__(self, proto: Any, feeds: Feeds) -> None:
        self.proto, self.feeds = proto, feeds
        self.graph = proto.subgraphs[0]
        self.divided = False
        """A constant that several operators read was replaced for one of them."""

    @classmethod
    def read(cls, path: Path, feeds: Feeds) -> TfliteModel:
        return cls(schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0), feeds)

    def packed(self) -> bytes:
        """The file."""
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.proto.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def copy(self) -> TfliteModel:
        return TfliteModel(schema.ModelT.InitFromPackedBuf(self.packed(), 0), self.feeds)

    @property
    def operators(self) -> list[Operator]:
        return list(self.graph.operators)

    @property
    def outputs(self) -> list[int]:
        return [int(index) for index in self.graph.outputs]

    def word(self, operator: Operator) -> str:
        """The operation's name in the schema."""
        code = self.proto.operatorCodes[operator.opcodeIndex]
        return _WORDS[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def name(self, index: int) -> str:
        name = self.graph.tensors[index].name
        return name.decode() if isinstance(name, bytes) else str(name)

    def shape(self, index: int) -> tuple[int, ...]:
        """As it is when run; as declared for constants."""
        found = self.tensors.get(index)
        shape = self.graph.tensors[index].shape
        return tuple(found.shape) if found is not None else tuple(int(size) for size in shape if shape is not None)

    def dtype(self, index: int) -> str:
        return _NUMPY.get(self.graph.tensors[index].type, "")

    def floating(self, index: int) -> bool:
        """A computed float tensor of some size."""
        return self.computed(index) and self.dtype(index) == "float32" and int(np.prod(self.shape(index))) > 8

    def producer(self, index: int) -> Operator | None:
        return next((each for each in self.operators if index in each.outputs), None)

    def consumers(self, index: int) -> list[Operator]:
        return [each for each in self.operators if index in each.inputs]

    def made_of(self, name: str) -> list[str]:
        """The tensors that the consumers of one compute, by name."""
        indices = [index for index in range(len(self.graph.tensors)) if self.name(index) == name]
        made = [int(output) for index in indices for each in self.consumers(index) for output in each.outputs]
        return [self.name(index) for index in made]

    def sole_consumer(self, index: int) -> Operator | None:
        found = self.consumers(index)
        return found[0] if len(found) == 1 and index not in self.outputs else None

    def readers(self, index: int) -> list[Operator]:
        """Where a tensor shows: its consumers, and theirs where a consumer only moves the numbers about."""
        found = []
        for each in self.consumers(index):
            found.append(each)
            if self.word(each) in MOVING | PASSING:
                found += self.readers(each.outputs[0])
        return found

    def pick(self, rng: np.random.Generator, wanted: Callable[[Operator], Any]) -> Operator | None:
        """One of the operators that are wanted, at any depth."""
        found = [each for each in self.operators if wanted(each)]
        return found[int(rng.integers(len(found)))] if found else None

    def constant(self, index: int) -> np.ndarray | None:
        """The array of a tensor that is stored in the file; None otherwise."""
        if index < 0 or self.graph.tensors[index].buffer >= len(self.proto.buffers):
            return None
        data = self.proto.buffers[self.graph.tensors[index].buffer].data
        if data is None or not len(data) or not self.dtype(index):
            return None
        array = np.frombuffer(np.asarray(data, np.uint8).tobytes(), self.dtype(index))
        return array.reshape([int(size) for size in self.graph.tensors[index].shape]).copy()

    def set_input(self, operator: Operator, place: int, array: np.ndarray) -> None:
        """Give one input of one operator a constant of its own, quantised as the one that was there."""
        self.divided |= len(self.consumers(int(operator.inputs[place]))) > 1
        operator.inputs = [*operator.inputs]
        operator.inputs[place] = self.add(operator.inputs[place], f"edited_{len(self.graph.tensors)}", array)

    def add(self, like: int, name: str, array: np.ndarray | None = None, shape: Sequence[int] | None = None) -> int:
        """A new tensor with the type and quantisation of another: a constant, or one to be computed."""
        made = copy.copy(self.graph.tensors[like])
        made.name, made.buffer, made.quantization = name, 0, copy.deepcopy(made.quantization)
        if array is not None:
            content = np.ascontiguousarray(array)
            made.type, shape = _DTYPES[str(content.dtype)], content.shape
            self.proto.buffers.append(schema.BufferT(data=np.frombuffer(content.tobytes(), np.uint8)))
            made.buffer = len(self.proto.buffers) - 1
        if shape is not None:
            made.shape, made.shapeSignature = [*shape], None
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def add_plain(self, name: str, array: np.ndarray) -> int:
        """A new constant without quantisation: paddings, axes."""
        index = self.add(self.graph.inputs[0], name, array)
        self.graph.tensors[index].quantization = None
        return index

    def insert_before(
        self, operator: Operator, place: int, word: str, *more: np.ndarray, options: Any = None, shape: Any = None
    ) -> Operator:
        """Put an operation between one input of an operator and the operator."""
        source = int(operator.inputs[place])
        made = self._made(word, source, more, options, shape)
        self.graph.operators.insert(self.operators.index(operator), made)
        operator.inputs = [*operator.inputs]
        operator.inputs[place] = made.outputs[0]
        return made

    def insert_after(
        self, index: int, word: str, *more: np.ndarray, options: Any = None, shape: Any = None
    ) -> Operator:
        """Put an operation between a tensor and all who read it."""
        readers, maker = self.consumers(index), self.producer(index)
        made = self._made(word, index, more, options, shape)
        self.graph.operators.insert(self.operators.index(maker) + 1 if maker is not None else 0, made)
        for reader in readers:
            reader.inputs = [made.outputs[0] if each == index else each for each in reader.inputs]
        self.graph.outputs = [made.outputs[0] if each == index else each for each in self.graph.outputs]
        return made

    def _made(self, word: str, source: int, more: Sequence[np.ndarray], options: Any, shape: Any) -> Operator:
        count = len(self.graph.tensors)
        extra = [self.add_plain(f"constant_{count}_{i}", array) for i, array in enumerate(more)]
        output = self.add(source, f"{word.lower()}_{count}", shape=shape)
        made = schema.OperatorT(opcodeIndex=self.code(word), inputs=[source, *extra], outputs=[output])
        made.builtinOptions = options
        if options is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__.removesuffix("T"))
        return made

    def code(self, word: str) -> int:
        """The number under which operators name an operation."""
        code = getattr(schema.BuiltinOperator, word)
        for number, each in enumerate(self.proto.operatorCodes):
            if max(each.builtinCode, each.deprecatedBuiltinCode) == code:
                return number
        made = schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=1)
        self.proto.operatorCodes.append(made)
        return len(self.proto.operatorCodes) - 1

    def remove(self, operator: Operator, stand_in: int) -> None:
        """Take an operator out; whoever read its output reads ``stand_in``."""
        output = operator.outputs[0]
        for reader in self.consumers(output):
            reader.inputs = [stand_in if each == output else each for each in reader.inputs]
        self.graph.operators.remove(operator)

    def run(self) -> list[np.ndarray]:
        """Its outputs; raises ValueError or RuntimeError where the edit made an invalid model."""
        interpreter = self._ran(preserve=False)
        return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]

    @cached_property
    def tensors(self) -> dict[int, np.ndarray]:
        """Every computed or fed tensor of one run of the model as it was when first asked."""
        interpreter = self._ran(preserve=True)
        wanted = {int(index) for each in self.operators for index in each.outputs} | {*map(int, self.graph.inputs)}
        details = {each["index"]: each for each in interpreter.get_tensor_details()}
        return {index: _held(interpreter, details[index]) for index in sorted(wanted)}

    def numbers(self) -> dict[str, np.ndarray]:
        """The real numbers of ``tensors``, by name."""
        found = {}
        for index, array in self.tensors.items():
            known = self.graph.tensors[index].quantization
            quantised = known is not None and known.scale is not None and len(known.scale) == 1
            real = (array.astype(np.float64) - known.zeroPoint[0]) * known.scale[0] if quantised else array
            found[self.name(index)] = real
        return found

    def _ran(self, *, preserve: bool) -> Any:
        # not at the top: cases are forks of a process that has loaded as few runtimes as can be
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        interpreter = Interpreter(
            model_content=self.packed(),
            experimental_preserve_all_tensors=preserve,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            num_threads=1,
        )
        interpreter.allocate_tensors()
        for detail, array in zip(interpreter.get_input_details(), self.feeds.values(), strict=True):
            interpreter.set_tensor(detail["index"], channels_fitted(array, tuple(detail["shape"])))
        interpreter.invoke()
        return interpreter

    def computed(self, index: int) -> bool:
        """Whether a tensor depends on the inputs of the model."""
        return index in self._dependent

    @cached_property
    def _dependent(self) -> frozenset[int]:
        reached = {int(index) for index in self.graph.inputs}
        for each in self.operators:
            if self.word(each) != "SHAPE" and any(index in reached for index in each.inputs):
                reached.update(int(index) for index in each.outputs)
        return frozenset(reached)


def _held(interpreter: Any, detail: dict[str, Any]) -> np.ndarray:
    """A tensor's numbers; none of what TFLite keeps no data for: an empty tensor, an output of WHILE nobody reads."""
    try:
        return interpreter.get_tensor(detail["index"])
    except ValueError:
        return np.empty(0, detail["dtype"])
