"""A TFLite file written again with other constants, options or operators of single nodes, or with new operators."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aligner.adapters.rewriting import Changed, Edit, Recompute, Regrid, Reorder, Restore, Step
from aligner.adapters.tflite_adapter.grafting import code_of, graft, octets
from aligner.adapters.tflite_adapter.graph import Naming, build_graph, name_tensors
from aligner.adapters.tflite_adapter.instrument import as_it_was
from aligner.adapters.tflite_adapter.node_forms import NodeForms, Variant
from aligner.adapters.tflite_adapter.regridding import refit, regrid
from aligner.adapters.tflite_adapter.schema import Model, Operator, read_model, schema
from aligner.errors import AlignerError
from aligner.operations.operation import Unsupported
from aligner.records.array import Array

_FUSED = {"relu": "relu", "relu6": "relu6", "tanh": "tanh"}
"""Activations that stand behind a node and can be written into it."""
_WINDOW = ("padding", "stride", "dilation", "filter", "axis", "keepDims")
"""Options that a result's shape follows from."""
_FEW = 8
"""Numbers of a constant that are shown."""


def rewrite(path: Path, groups: Sequence[Sequence[Edit]], output: Path) -> list[Changed | None]:
    """Write the file with the edits; see ``Rewrites``."""
    data = path.read_bytes()
    found: list[Changed | None] = []
    for edits in groups:
        try:
            editing = _Editing(data)
            for edit in edits:
                editing.apply(edit)
            data = editing.written()
            found.append(tuple(editing.said))
        except Unsupported:
            found.append(None)
    output.write_bytes(data)
    return found


class _Editing:
    """The edits of one group, made on the unpacked file."""

    def __init__(self, data: bytes) -> None:
        self._model: Model = as_it_was(read_model(data))
        if any(table.scalar(1, "Q") > 1 for table in _buffers(self._model)):
            raise Unsupported("a model of more than 2 GiB")
        self._names: Naming = name_tensors(self._model.main)
        self._graph = build_graph(self._model, self._names)
        self._unpacked = schema().ModelT.InitFromObj(schema().Model.GetRootAs(self._model.data, 0))
        self._main = self._unpacked.subgraphs[0]
        self._operators = list(self._main.operators)
        self._resized = False
        self.said: list[str] = []

    def written(self) -> bytes:
        """The file as it now is."""
        made = self._packed()
        if self._resized:
            self._take_shapes(read_model(made))
            made = self._packed()
        return made

    def _packed(self) -> bytes:
        builder = importlib.import_module("flatbuffers").Builder(len(self._model.data))
        builder.Finish(self._unpacked.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _take_shapes(self, model: Model) -> None:
        """Declare the shapes that the runtime finds where windows have changed."""
        from aligner.adapters.base import OpenOptions
        from aligner.adapters.tflite_adapter.session import TFLiteSession

        session, names = TFLiteSession(model, OpenOptions()), name_tensors(model.main)
        fed = [model.main.tensors[index] for index in model.main.inputs]
        try:
            feeds = {names.ids[tensor.index]: np.zeros(tensor.shape, tensor.dtype) for tensor in fed}
            seen = {tensor.value: tensor.array.shape for tensor in session.run(feeds)}
        except (AlignerError, TypeError) as error:  # a type that numpy lacks
            raise Unsupported("the runtime does not take it") from error
        finally:
            session.close()
        for name, shape in seen.items():
            self._main.tensors[names.indices[name]].shape = list(shape)

    def apply(self, edit: Edit) -> None:
        """One edit. Raises Unsupported."""
        if isinstance(edit, Restore):
            self._restore(edit.weight, edit.array)
        elif isinstance(edit, Reorder):
            self._reorder(edit)
        elif isinstance(edit, Regrid):
            self.said += regrid(self._unpacked, self._model, self._names, edit)
        else:
            self._recompute(edit)

    def _restore(self, weight: str, array: Array) -> None:
        self._store(weight, self._stored(weight, array))

    def _stored(self, weight: str, array: Array) -> Array:
        """Numbers in the form in which a constant is stored, or real ones for one of integers. Raises Unsupported."""
        index = self._names.indices.get(weight)
        if index is None or index not in self._names.constants:
            raise Unsupported(f"{weight} is not stored in the main subgraph")
        tensor, stored = self._model.main.tensors[index], self._graph.weights[weight].load()
        if tensor.sparse or tensor.variable or stored.dtype.name != tensor.dtype or stored.size != array.size:
            raise Unsupported(f"{weight} is stored in another form")
        real = array.dtype.kind == "f" and self._graph.weights[weight].values().dtype.kind == "f"
        return array.reshape(stored.shape).astype(array.dtype if real else stored.dtype)

    def _store(self, weight: str, content: Array) -> None:
        known = self._graph.weights[weight]
        before = known.load()
        if content.dtype.kind == "f" and before.dtype.kind != "f":
            content = refit(self._unpacked, self._model, self._names.indices[weight], known, content)
        self._unpacked.buffers.append(schema().BufferT(data=octets(content)))
        self._main.tensors[self._names.indices[weight]].buffer = len(self._unpacked.buffers) - 1
        few = content.size == 1 or (content.dtype.kind in "iu" and content.size <= _FEW)
        lines = (f"- {weight} {before.reshape(-1).tolist()}", f"+ {weight} {content.reshape(-1).tolist()}")
        self.said += lines if few else [f"~ {weight} {list(before.shape)}: the reference's numbers"]

    def _reorder(self, edit: Reorder) -> None:
        before = list(self._main.outputs)
        if any(place >= len(before) for place in edit.places):
            raise Unsupported("outputs that are no tensors")
        self._main.outputs = [before[place] for place in edit.places]
        names = [[self._names.ids[index] for index in each] for each in (before, self._main.outputs)]
        self.said += [f"- outputs {', '.join(names[0])}", f"+ outputs {', '.join(names[1])}"]

    def _recompute(self, edit: Recompute) -> None:
        """Another form of the one operator where it has one; else new ones."""
        try:
            self._reform(edit)
        except Unsupported:
            self.said += graft(self._unpacked, self._names, self._graph, edit)
            self._resized = True

    def _reform(self, edit: Recompute) -> None:
        """Nothing is changed where it raises."""
        if len(edit.values) != 1 or not edit.steps or edit.outputs:
            raise Unsupported("more than one value")
        ((value, result),) = edit.values.items()
        step = _folded(edit.steps)
        index = self._names.producer.get(self._names.indices.get(value, -1))
        if index is None or result not in step.results or edit.dtype not in {None, self._graph.values[value].dtype}:
            raise Unsupported(f"{value} is not one node's")
        operator = self._model.main.operators[index]
        arrays = [*step.data, *step.parameters.values()]
        read = {name for name in arrays if isinstance(name, str)}
        if not read <= set(self._graph.nodes[index].inputs):
            raise Unsupported(f"{operator.op} on other tensors")
        forms = NodeForms(self._model, self._names, self._graph, operator)
        variant = forms.found(step)
        constants = forms.constants(variant, step)
        constants |= {self._names.ids[operator.inputs[place]]: array for place, array in variant.constants.items()}
        order = forms.order(variant, step)
        contents = {name: self._stored(name, array) for name, array in constants.items()}
        if not contents and order == list(operator.inputs) and variant.word == operator.op and not variant.options:
            raise Unsupported("nothing that this format tells apart")
        for name, content in sorted(contents.items(), key=lambda item: item[1].ndim):  # a bias before what it follows
            self._store(name, content)
        self._write(operator, variant, order, value)

    def _write(self, operator: Operator, variant: Variant, order: list[int], value: str) -> None:
        unpacked = self._operators[operator.index]
        if order != list(operator.inputs):
            names = [
                ", ".join(self._names.ids[index] for index in each if index >= 0) for each in (operator.inputs, order)
            ]
            unpacked.inputs = order
            self.said += [f"- {operator.op} {value}: {names[0]}", f"+ {operator.op} {value}: {names[1]}"]
        if variant.word != operator.op:
            unpacked.opcodeIndex = code_of(self._unpacked, variant.word)
            _retell(unpacked, variant.word)
            self.said += [f"- {operator.op} {value}", f"+ {variant.word} {value}"]
        for name, number in variant.options.items():
            setattr(unpacked.builtinOptions, name, number)
            self._resized = self._resized or name.startswith(_WINDOW)
            self.said += [
                f"- {operator.op} {value}: {name} {operator.options[name]}",
                f"+ {operator.op} {value}: {name} {number}",
            ]


def _retell(unpacked: Any, word: str) -> None:
    """Options of another word in that word's own record, where the schema has one."""
    own = f"{word.title().replace('_', '')}Options"
    kind, before = getattr(schema().BuiltinOptions, own, None), unpacked.builtinOptions
    if kind is not None and kind != unpacked.builtinOptionsType:
        unpacked.builtinOptionsType, unpacked.builtinOptions = kind, getattr(schema(), f"{own}T")()
        for name, value in vars(before).items() if before is not None else ():
            if hasattr(unpacked.builtinOptions, name):
                setattr(unpacked.builtinOptions, name, value)


def _folded(steps: Sequence[Step]) -> Step:
    """The steps as one: an activation behind the others' last is written into it. Raises Unsupported."""
    *before, last = steps
    if not before:
        return last
    if last.operation.kind == "transpose":
        return _unmoved(steps)
    one = _folded(before)
    fused = _FUSED.get(last.operation.kind)
    if fused is None or last.data != one.results[:1] or one.operation.fused_activation != "none":
        raise Unsupported("more than one node")
    return replace(one, operation=one.operation.with_settings(fused_activation=fused), results=last.results)


def _unmoved(steps: Sequence[Step]) -> Step:
    """A node between axes that are moved there and back, as one on the axes as they are. Raises Unsupported."""
    last, one, into = steps[-1], steps[-2], steps[:-2]
    perm = tuple(last.operation.settings["perm"])
    back = tuple(sorted(range(len(perm)), key=perm.__getitem__))
    sources = {step.results[0]: step.data[0] for step in into if step.operation.kind == "transpose"}
    moved = all(tuple(step.operation.settings.get("perm", ())) == back for step in into)
    settings = dict(one.operation.settings)
    known = {"axis", "fused_activation", "range"} >= settings.keys() and last.data == one.results[:1]
    if not (moved and known and all(isinstance(name, str) and name in sources for name in one.data)):
        raise Unsupported("more than one node")
    if "axis" in settings:
        settings["axis"] = perm.index(settings["axis"] % len(perm))
    data = tuple(sources[name] for name in one.data if isinstance(name, str))
    return replace(one, operation=replace(one.operation, settings=settings), data=data, results=last.results)


def _buffers(model: Model) -> list[Any]:
    from aligner.adapters.tflite_adapter.flatbuffer import Table

    return Table.root(model.data).tables(4)
