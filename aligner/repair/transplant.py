"""The reference's region in the candidate's place: its operations, on the candidate's tensors that answer its own."""

from __future__ import annotations

import math

import numpy as np

from aligner.adapters.rewriting import Recompute, Step
from aligner.causes.context import Context
from aligner.numerics.relations import to_half
from aligner.operations.kernels.activation import to_bfloat16
from aligner.operations.operation import Operation, Unsupported
from aligner.records.alignment import PairedValues
from aligner.records.array import Array
from aligner.records.axis_order import split_axes
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph
from aligner.repair.naming import Naming
from aligner.repair.patch import Patch

_WIDTHS = {"bfloat16": 8, "float16": 11, "float32": 24, "float64": 53}
"""Digits of a float's significand."""
_HELD = 0.5
"""Share of the error from which on storing the right tensor as the candidate does loses as much as was wrong."""


def transplant(culprit: Culprit, context: Context) -> Patch | None:
    """The patch; None where an operation of the region is not known, or a tensor that it reads has no answer."""
    try:
        return _Transplant(culprit, context).patch()
    except NotHeldError:
        return _readers(culprit, context)
    except Unsupported:
        return None


class NotHeldError(Unsupported):
    """The candidate's own type cannot hold the right tensor: what reads it is to blame."""


def _readers(culprit: Culprit, context: Context) -> Patch | None:
    """What reads the tensor, computed from the one before it that is wide enough."""
    value = culprit.measured.pair.candidate
    try:
        found = [
            _Transplant(Culprit(context.graphs, item), context).patch()
            for item in context.measured
            if value in item.pair.candidate_region.inputs
        ]
    except Unsupported:
        return None
    if not found:
        return None
    words = "; ".join(dict.fromkeys(patch.words for patch in found))
    return Patch(value, culprit.where, words, tuple(edit for patch in found for edit in patch.edits))


class _Transplant:
    def __init__(self, culprit: Culprit, context: Context) -> None:
        self._culprit, self._subgraph = culprit, culprit.reference
        self._pairs = _by_reference(context)
        self._own = {output for node in _needed(self._subgraph) for output in node.outputs}
        self._steps: list[Step] = []
        self._entered: dict[str, str] = {}

    def patch(self) -> Patch:
        pair, naming = self._culprit.measured.pair, Naming(self._subgraph, self._called)
        beyond = self._subgraph.region.inputs == (self._subgraph.output,)  # the reference does nothing more
        if self._subgraph.output not in self._own and not beyond:
            raise Unsupported("a region that computes nothing")
        self._check_held()
        for node in _needed(self._subgraph):
            operation = self._subgraph.operation(node)
            if operation is None:
                raise Unsupported(node.op)
            steps = naming.steps(node, operation, [_new(name) for name in node.outputs])
            self._steps += steps
        result = self._left(self._called(self._subgraph.output), pair)
        values = {pair.candidate: result}
        edit = Recompute(values, tuple(self._steps), self._dtype())
        names = ", ".join(f"{node.op} {node.name}" for node in _needed(self._subgraph))
        told = f"computed as the reference computes it: {names}" if names else "left as it was before"
        return Patch(pair.candidate, self._culprit.where, told, (edit,))

    def _check_held(self) -> None:
        """Raise Unsupported where the candidate's own type cannot hold the right tensor: what reads it is to blame."""
        expected, word = self._culprit.expected, self._culprit.measured.candidate_dtype
        if expected is None or word not in {"float16", "bfloat16"}:
            return
        stored = to_half(expected) if word == "float16" else to_bfloat16(expected)
        if self._culprit.apart(expected, stored) > _HELD * self._culprit.gap:
            raise NotHeldError(f"{word} cannot hold it")

    def _dtype(self) -> str | None:
        """The reference's, so that nothing is lost in between."""
        found = self._culprit.measured.reference_dtype or ""
        return found if found in _WIDTHS else None

    def _called(self, value: str) -> str:
        if value in self._own:
            return _new(value)
        if value not in self._entered:
            pair = self._pairs.get(value)
            if pair is None:
                raise Unsupported(f"{value} has no answer")
            self._entered[value] = self._entry(value, pair)
        return self._entered[value]

    def _entry(self, value: str, pair: PairedValues) -> str:
        """The candidate's tensor in the reference's order of axes and shape."""
        theirs, mine = (
            subgraph.shape(name)
            for subgraph, name in ((self._subgraph, value), (self._culprit.candidate, pair.candidate))
        )
        if theirs is None or mine is None or None in mine or None in theirs:
            raise Unsupported(f"{value} was not seen")
        shape, wanted = (tuple(int(size or 0) for size in known) for known in (mine, theirs))
        name = pair.candidate
        axes = pair.axes
        if axes is not None:
            split = split_axes(wanted, axes, shape)
            name = self._reshaped(name, shape, tuple(split[axis] for axis in axes))
            back = sorted(range(len(axes)), key=axes.__getitem__)
            name = self._transposed(name, tuple(split[axis] for axis in axes), tuple(back))
            shape = split
        return self._reshaped(name, shape, wanted)

    def _left(self, name: str, pair: PairedValues) -> str:
        """The result in the candidate's order of axes and shape."""
        shape, computed = self._culprit.measured.reference_shape, self._culprit.measured.candidate_shape
        if shape is None:
            raise Unsupported("the output was not seen")
        fits = computed is not None and math.prod(computed) == math.prod(shape)
        if pair.axes is None:
            return self._reshaped(name, shape, computed if computed is not None and fits else shape)
        if computed is None or not fits:
            if len(pair.axes) != len(shape):
                raise Unsupported("axes that do not fit")
            return self._transposed(name, shape, pair.axes)
        split = split_axes(shape, pair.axes, computed)
        name = self._transposed(self._reshaped(name, shape, split), split, pair.axes)
        return self._reshaped(name, tuple(split[axis] for axis in pair.axes), computed)

    def _reshaped(self, name: str, shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
        if shape == wanted:
            return name
        return self._moved(name, Operation("reshape", {"shape": wanted, "before": None}, (_empty(shape),)))

    def _transposed(self, name: str, shape: tuple[int, ...], perm: tuple[int, ...]) -> str:
        if perm == tuple(sorted(perm)):
            return name
        return self._moved(name, Operation("transpose", {"perm": perm}, (_empty(shape),)))

    def _moved(self, name: str, operation: Operation) -> str:
        made = f"{name}/moved{len(self._steps)}"
        self._steps.append(Step(operation, (name,), (made,)))
        return made


def _needed(subgraph: Subgraph) -> list[Node]:
    """The region's nodes that its output depends on and that an input of the model reaches, in order."""
    wanted, found = {subgraph.output}, list[Node]()
    for node in reversed(subgraph.nodes):
        if wanted & set(node.outputs) and any(subgraph.varies(name) for name in node.inputs if name):
            found.append(node)
            wanted |= set(node.inputs)
    return found[::-1]


def _by_reference(context: Context) -> dict[str, PairedValues]:
    """The candidate's tensor for each of the reference's: of several the widest, for what is narrow has lost digits."""
    found: dict[str, PairedValues] = {}
    widths: dict[str, int] = {}
    for measured in context.measured:
        width = _WIDTHS.get(measured.candidate_dtype or "", 0)
        for value in (measured.pair.reference, *measured.pair.reference_aliases):
            if width > widths.get(value, -1):
                found[value], widths[value] = measured.pair, width
    return found


def _new(value: str) -> str:
    return f"{value}/reference" if value else ""


def _empty(shape: tuple[int, ...]) -> Array:
    """An array that says its shape and holds nothing."""
    return np.broadcast_to(np.float32(0), shape)
