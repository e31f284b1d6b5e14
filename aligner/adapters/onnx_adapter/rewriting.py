"""An ONNX file written again with some of its computations replaced."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from aligner.adapters.onnx_adapter.composites import with_composites_expanded
from aligner.adapters.onnx_adapter.constants import constant_tensor, is_constant
from aligner.adapters.onnx_adapter.dtypes import dtype_word, element_of
from aligner.adapters.onnx_adapter.emission import emit
from aligner.adapters.onnx_adapter.emission.writer import Writer
from aligner.adapters.onnx_adapter.names import defined_names, fresh, initializer_names, reads
from aligner.adapters.onnx_adapter.node_text import changed_lines, snapshot
from aligner.adapters.onnx_adapter.order import sort_nodes
from aligner.adapters.onnx_adapter.types import ValueType
from aligner.adapters.rewriting import Changed, Edit, Recompute, Reorder, Restore, Step
from aligner.operations.operation import Unsupported
from aligner.records.array import Array
from aligner.records.dataclass import dataclass

_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_LARGEST = (1 << 31) - 1
"""Bytes of a message that protobuf can write."""


def rewrite(path: Path, groups: Sequence[Sequence[Edit]], output: Path) -> list[Changed | None]:
    """Write the file with the edits; see ``Rewrites``."""
    import onnx

    from aligner.adapters.onnx_adapter.engine import make_engine
    from aligner.adapters.onnx_adapter.file import read_onnx
    from aligner.adapters.onnx_adapter.session import OnnxSession
    from aligner.adapters.onnx_adapter.types import infer_types

    file = read_onnx(path)  # reading checks where external data may lie
    types = infer_types(file.skeleton, {}, lambda _: {})
    inside = _named(groups) - set(defined_names(file.skeleton.graph))
    if inside:
        types |= OnnxSession(file, make_engine(None, None)).program(None).types
    failed: set[int] = set()
    while True:
        model = _loaded(path)
        found, failing = _edited(model, types, groups, inside, failed)
        if failing is None:
            break
        failed.add(failing)  # it may have been done in part: begin again without it
    if model.ByteSize() > _LARGEST:
        raise Unsupported("a model of more than 2 GiB in one file")
    onnx.save(model, output)
    return found


def _loaded(path: Path) -> Any:
    import onnx
    from onnx import inliner

    model = onnx.load(path)
    return inliner.inline_local_functions(model) if model.functions else model


def _named(groups: Sequence[Sequence[Edit]]) -> set[str]:
    """The values and weights that edits speak of."""
    names, made = set[str](), set[str]()
    for edit in chain.from_iterable(groups):
        if isinstance(edit, Restore):
            names.add(edit.weight)
        elif isinstance(edit, Recompute):
            names.update(edit.values, edit.values.values())
            for step in edit.steps:
                names.update(one for one in (*step.data, *step.parameters.values()) if isinstance(one, str))
                made.update(step.results)
    return names - made


def _edited(
    model: Any,
    types: Mapping[str, ValueType],
    groups: Sequence[Sequence[Edit]],
    inside: Collection[str],
    failed: set[int],
) -> tuple[list[Changed | None], int | None]:
    """What each group has changed, and the group that cannot be written, where one cannot.

    ``inside``: values that the file has not got; a fused node that stands for one's makers gives its place to these.
    """
    before = snapshot(model.graph)
    expanded = with_composites_expanded(model, types, inside) if inside else None
    if expanded is not None:
        model.graph.CopyFrom(expanded.graph)
    editing, found = _Editing(model, types), list[Changed | None]()
    for place, edits in enumerate(groups):
        if place in failed:
            found.append(None)
            continue
        try:
            for edit in edits:
                editing.apply(edit)
            editing.finish()
        except Unsupported:
            return found, place
        after = snapshot(model.graph)
        found.append((*changed_lines(before, after, model.graph), *editing.said))
        before, editing.said = after, []
    return found, None


@dataclass(frozen=True, slots=True)
class _Names:
    """Names in use, and how a Recompute's own names are called in the file."""

    known: dict[str, str]
    old: dict[str, str]
    """Values that are recomputed → what the old ones are called from now on."""


class _Editing:
    """The edits of one model, in place."""

    def __init__(self, model: Any, types: Mapping[str, ValueType]) -> None:
        self._model, self._graph, self._types = model, model.graph, types
        self._taken = set(_every_name(model.graph))
        self._dead = {id(node) for node in _dead(model.graph)}
        self._idle = set(_unread(model.graph))
        self._opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
        self.said: list[str] = []

    def apply(self, edit: Edit) -> None:
        """One edit. Raises Unsupported."""
        if isinstance(edit, Recompute):
            self._recompute(edit)
        elif isinstance(edit, Restore):
            self._restore(edit)
        elif isinstance(edit, Reorder):
            self._reorder(edit)
        else:
            raise Unsupported("values that declare no grid of their own")

    def finish(self) -> None:
        """Drop what the edits left without a reader, and sort."""
        while gone := [node for node in _dead(self._graph) if id(node) not in self._dead]:
            for node in gone:
                self._graph.node.remove(node)
            self._dead = {id(node) for node in _dead(self._graph)} & self._dead
        for name in set(_unread(self._graph)) - self._idle:
            self._graph.initializer.remove(next(one for one in self._graph.initializer if one.name == name))
        sort_nodes(self._graph)

    def _recompute(self, edit: Recompute) -> None:
        lacking = [value for value in edit.values if self._producer(value) is None]
        if lacking:
            raise Unsupported(f"{lacking[0]} is not computed in the main graph")
        first = next(iter(edit.values))
        element = element_of(edit.dtype or self._word(first) or "float32") or 1
        stem = f"{first}/fixed"
        writer = Writer(self._opset, element, self._taken, stem)
        replaced = self._producer(first)
        names = _Names({}, {value: self._renamed(value, readers=edit.outputs) for value in edit.values})
        for step in edit.steps:
            self._write(writer, step, names)
        for value, result in edit.values.items():
            self._hand_over(writer, names.known.get(result, names.old.get(result, result)), value, element)
        self._keep_name(writer, replaced)
        self._reuse(writer, replaced)
        self._graph.node.extend(writer.nodes)
        self._graph.initializer.extend(writer.initializers)
        self._forget_types(edit.values)

    def _write(self, writer: Writer, step: Step, names: _Names) -> None:
        data = tuple(self._read(writer, given, names) for given in step.data)
        parameters = {role: self._read(writer, given, names) for role, given in step.parameters.items()}
        found = emit(writer, Step(step.operation, data, step.results, parameters))
        if len(found) < len([name for name in step.results if name]):
            raise Unsupported(f"only {len(found)} results of {step.operation.kind}")
        names.known.update({own: name for own, name in zip(step.results, found, strict=False) if own})

    def _read(self, writer: Writer, given: str | Array, names: _Names) -> str | Array:
        if not isinstance(given, str):
            return given
        if given in names.known:
            return names.known[given]
        name, word = names.old.get(given, given), self._word(given)
        if given not in self._taken:
            raise Unsupported(f"{given} is not in the main graph")
        wanted = dtype_word(writer.element)
        if word in _FLOATS and word != wanted:
            names.known[given] = writer("Cast", name, to=writer.element)
            return names.known[given]
        return name

    def _hand_over(self, writer: Writer, name: str, value: str, element: int) -> None:
        """Let the value be what was computed."""
        word = self._word(value)
        cast = element_of(word) if word in _FLOATS and word != dtype_word(element) else None
        made = [node for node in writer.nodes if name in node.output]
        reread = any(name in node.input for node in writer.nodes) or not made
        if cast is None and not reread:
            made[0].output[list(made[0].output).index(name)] = value
        else:
            writer("Cast", name, to=cast) if cast else writer("Identity", name)
            writer.nodes[-1].output[0] = value

    def _renamed(self, value: str, *, readers: bool) -> str:
        """Call what the value was by another name, so that a new node can make it; ``readers`` follow it."""
        name = fresh(f"{value}/before", self._taken)
        self._taken.add(name)
        node = self._producer(value)
        assert node is not None
        node.output[list(node.output).index(value)] = name
        for other in self._graph.node if readers else ():
            if value in set(reads(other)) - set(other.input):
                raise Unsupported(f"a body reads {value}")
            for place, read in enumerate(other.input):
                other.input[place] = name if read == value else read
        return name

    def _producer(self, value: str) -> Any:
        return next((node for node in self._graph.node if value in node.output), None)

    def _keep_name(self, writer: Writer, replaced: Any) -> None:
        """A node that takes another one's place under the same operator keeps its name and what is noted of it."""
        alike = [node for node in writer.nodes if node.op_type == replaced.op_type and not node.domain]
        if len(alike) == 1:
            alike[0].name, alike[0].doc_string = replaced.name or alike[0].name, replaced.doc_string
            alike[0].metadata_props.extend(replaced.metadata_props)
            self._keep_axis(alike[0], replaced)

    def _keep_axis(self, node: Any, replaced: Any) -> None:
        """An axis that was counted from the end stays so."""
        shape = (
            self._types[replaced.input[0]].shape if replaced.input[:1] and replaced.input[0] in self._types else None
        )
        before = next((one.i for one in replaced.attribute if one.name == "axis"), 0)
        for one in node.attribute:
            if one.name == "axis" and shape is not None and before + len(shape) == one.i:
                one.i = before

    def _reuse(self, writer: Writer, replaced: Any) -> None:
        """Constants that the model holds already, as the replaced node reads them, are not stored again."""
        read = set(replaced.input)
        held = {_numbers(one): one.name for one in self._graph.initializer if one.name in read}
        for node in self._graph.node:
            if is_constant(node) and node.output[0] in read and (tensor := constant_tensor(node)) is not None:
                held[_numbers(tensor)] = node.output[0]
        again = {one.name: held[_numbers(one)] for one in writer.initializers if _numbers(one) in held}
        writer.initializers = [one for one in writer.initializers if one.name not in again]
        for node in writer.nodes:
            for place, name in enumerate(node.input):
                node.input[place] = again.get(name, name)

    def _forget_types(self, values: Mapping[str, str]) -> None:
        """What is noted of these values' shapes, and of all behind them, need not hold any more."""
        behind = set(values)
        sort_nodes(self._graph)
        for node in self._graph.node:
            if behind & set(reads(node)):
                behind.update(node.output)
        kept = [one for one in self._graph.value_info if one.name not in behind]
        del self._graph.value_info[:]
        self._graph.value_info.extend(kept)

    def _restore(self, edit: Restore) -> None:
        from onnx import numpy_helper

        tensor = next((one for one in self._graph.initializer if one.name == edit.weight), None)
        node = self._producer(edit.weight) if tensor is None else None
        if node is not None and is_constant(node):
            tensor = next((one.t for one in node.attribute if one.name == "value"), None)
        if tensor is None:
            raise Unsupported(f"{edit.weight} is not stored in the main graph")
        before = numpy_helper.to_array(tensor)
        if edit.array.size != before.size:
            raise Unsupported(f"{edit.weight} has another number of elements")
        again = numpy_helper.from_array(edit.array.reshape(before.shape).astype(before.dtype), tensor.name)
        tensor.CopyFrom(again)
        self.said.append(f"~ {edit.weight} {list(before.shape)}: the reference's numbers")

    def _reorder(self, edit: Reorder) -> None:
        outputs = list(self._graph.output)
        before = [one.name for one in outputs]
        if any(place >= len(outputs) for place in edit.places):
            raise Unsupported("outputs that are no tensors")
        chosen = [outputs[place] for place in edit.places]
        copies = [type(one).FromString(one.SerializeToString()) for one in chosen]
        del self._graph.output[:]
        self._graph.output.extend(copies)
        self.said += [f"- outputs {', '.join(before)}", f"+ outputs {', '.join(one.name for one in copies)}"]

    def _word(self, value: str) -> str | None:
        known = self._types.get(value)
        if known is not None and known.word:
            return known.word
        tensor = next((one for one in self._graph.initializer if one.name == value), None)
        return dtype_word(tensor.data_type) if tensor is not None else None


def _numbers(tensor: Any) -> bytes:
    copy = type(tensor)()
    copy.CopyFrom(tensor)
    copy.name = ""
    if not copy.HasField("raw_data"):
        from onnx import numpy_helper

        copy = numpy_helper.from_array(numpy_helper.to_array(tensor))
    copy.doc_string = ""
    found: bytes = copy.SerializeToString()
    return found


def _every_name(graph: Any) -> Iterator[str]:
    yield from (value.name for value in (*graph.input, *graph.output))
    yield from initializer_names(graph)
    for node in graph.node:
        yield from (*node.input, *node.output, node.name)


def _dead(graph: Any) -> list[Any]:
    """Nodes that nobody reads."""
    read = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    return [node for node in graph.node if not read & {name for name in node.output if name}]


def _unread(graph: Any) -> Iterator[str]:
    read = {name for node in graph.node for name in reads(node)} | {value.name for value in graph.output}
    declared = {value.name for value in graph.input}
    return (one.name for one in graph.initializer if one.name not in read and one.name not in declared)
