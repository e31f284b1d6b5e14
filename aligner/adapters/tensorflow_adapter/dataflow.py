"""Which operations a program's outputs need, and what each of their operands is once plumbing is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from aligner.adapters.tensorflow_adapter.program import Program, shown_name, tensor_name
from aligner.errors import ModelFormatError
from aligner.records.array import Array

_PLUMBING = frozenset({"Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot"})
"""What hands on its operands as they are."""
_VIEWS = frozenset({"Reshape", "Squeeze", "ExpandDims"})
_HANDLES = frozenset({"resource", "variant", "string"})
"""Types of tensors that hold no numbers."""


class Dataflow:
    """The operations of a program on inputs of given shapes, ``None`` for the declared ones.

    Operations and tensors are TensorFlow's own; a tensor's id is its name without what inlining added.
    """

    def __init__(self, program: Program, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        self.program = program
        self.graph = _imported(program, shapes)
        self.fed = {name: self._tensor(tensor) for name, tensor in program.inputs.items()}
        """Input name → its placeholder."""
        self._ends = [self._tensor(name) for name in program.outputs]
        self.needed = _ancestors([tensor.op for tensor in self._ends])
        """Names of all operations that the outputs are computed from."""
        placeholders = {tensor.op.name for tensor in self.fed.values()}
        every = [op for op in self.graph.get_operations() if op.name in self.needed]
        self.ops = [op for op in every if op.name not in placeholders and op.type != "Const"]
        """What computes, in an order in which it can run."""

    def _tensor(self, name: str) -> Any:
        try:
            return self.graph.get_tensor_by_name(name)
        except (KeyError, ValueError) as error:
            raise ModelFormatError(
                "the function names a tensor that its graph lacks", found=name[:200], hint="save the model again"
            ) from error

    @cached_property
    def outputs(self) -> list[Any]:
        """The tensors that the function gives; plumbing where the same tensor is given before, or is no result."""
        found: list[Any] = []
        given: set[str] = set()  # names: tensors compare element by element
        for end in self._ends:
            source = self.source(end)
            plain = source.op.type not in ("Const", "Placeholder") and source.name not in given
            found.append(source if plain else end)
            given.add(source.name)
        return found

    @cached_property
    def kept(self) -> list[Any]:
        """The operations that are nodes: all but plumbing, and plumbing that gives an output its only name."""
        ends = {tensor.op.name for tensor in self.outputs}
        return [op for op in self.ops if op.name in ends or not self._is_plumbing(op)]

    def _is_plumbing(self, op: Any) -> bool:
        return op.type in _PLUMBING or self._variable_in_other_shape(op) is not None

    def source(self, tensor: Any) -> Any:
        """The tensor that this one is, behind plumbing; a variable, where its numbers come back in its own shape."""
        while tensor.op.type in _PLUMBING and len(tensor.op.inputs):
            tensor = tensor.op.inputs[tensor.value_index]
        variable = self._variable_in_other_shape(tensor.op)
        return tensor if variable is None else variable

    def _variable_in_other_shape(self, op: Any) -> Any:
        """The variable whose numbers pass through views and leave as they came, as Keras hands a bias to its layer."""
        if op.type not in _VIEWS:
            return None
        tensor = op.outputs[0]
        while tensor.op.type in _VIEWS | _PLUMBING and len(tensor.op.inputs):
            tensor = tensor.op.inputs[tensor.value_index]
        whole = tensor.op.type == "Const" and tensor.op.name in self.program.variables
        return tensor if whole and self._leads_back(op, tensor) else None

    def _leads_back(self, op: Any, variable: Any) -> bool:
        """Whether this view, or the views that alone read it, end in the variable's own shape."""
        if op.outputs[0].shape == variable.shape:
            return True
        readers = op.outputs[0].consumers()
        return bool(readers) and all(reader.type in _VIEWS and self._leads_back(reader, variable) for reader in readers)

    def operands(self, op: Any) -> list[Any]:
        """What an operation reads, behind plumbing."""
        return [self.source(tensor) for tensor in op.inputs]

    def results(self) -> Iterator[Any]:
        """Every tensor of numbers that a node computes, in order."""
        for op in self.kept:
            for tensor in op.outputs:
                if holds_numbers(tensor):
                    yield tensor

    def constant(self, tensor: Any) -> Array | None:
        """The numbers of a stored tensor; None for one that is computed."""
        import tensorflow as tf

        source = self.source(tensor)
        if source.op.type != "Const":
            return None
        array = tf.make_ndarray(source.op.get_attr("value"))
        return None if array.dtype == object else array

    def id_of(self, tensor: Any) -> str:
        """The name of a tensor in reports; the name under which it is fed for an input."""
        if tensor.op.type == "Const":
            variable = self.program.variables.get(tensor.op.name)
            return variable or shown_name(tensor.op.name)
        fed = self._fed_names.get(tensor.name)
        return fed or tensor_name(shown_name(tensor.op.name), tensor.value_index)

    @cached_property
    def _fed_names(self) -> dict[str, str]:
        return {tensor.name: name for name, tensor in self.fed.items()}


def holds_numbers(tensor: Any) -> bool:
    """Whether a tensor can be looked at: handles and texts cannot."""
    return tensor.dtype.name not in _HANDLES


def _imported(program: Program, shapes: Mapping[str, tuple[int, ...]] | None) -> Any:
    import tensorflow as tf

    definition = program.graph_def
    if shapes:
        definition = type(definition)()
        definition.CopyFrom(program.graph_def)
        sized = {program.inputs[name].partition(":")[0]: shape for name, shape in shapes.items()}
        for node in definition.node:
            if node.name in sized:
                node.attr["shape"].shape.CopyFrom(tf.TensorShape(sized[node.name]).as_proto())
    graph = tf.Graph()
    try:
        with graph.as_default():
            tf.graph_util.import_graph_def(definition, name="")
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ModelFormatError(
            "TensorFlow cannot build the model's graph",
            found=(str(error).strip().splitlines() or [""])[0][:300],
            hint="feed sizes that the model takes, or save it again",
        ) from error
    return graph


def _ancestors(ends: list[Any]) -> set[str]:
    found: set[str] = set()
    waiting = list(ends)
    while waiting:
        op = waiting.pop()
        if op.name not in found:
            found.add(op.name)
            waiting.extend(tensor.op for tensor in op.inputs)
    return found
