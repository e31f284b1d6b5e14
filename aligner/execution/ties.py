"""Choices between equals: places that differ where what stands there does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aligner.execution.flips import UNITS
from aligner.execution.passes import Passes
from aligner.operations.settings import ArgMax, Sort
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph
from aligner.records.measurement import Measured
from aligner.regions.subgraph import Subgraph


@dataclass(frozen=True, slots=True)
class _Choice:
    """A tensor of places, and the tensor and the axis that they are places of."""

    operand: str
    settings: Sort | ArgMax


def settle_ties(graph: Graph, passes: Passes, doubtful: Sequence[Measured]) -> None:
    """Mark the pairs of places at which both sides, fed with the reference's tensors, find the same numbers.

    Which of two equals comes first is left to the runtime, and of two that lie within rounding of each other to chance.
    """
    injected = passes.injectable()
    choices: dict[str, _Choice] = {}
    for item in doubtful:
        choice = _choice(graph, item)
        pairs = [] if choice is None else [item.pair, injected.get(choice.operand)]
        if choice is not None and all(pair is not None and pair.axes is None for pair in pairs):
            choices[item.pair.candidate] = choice
    if not choices or passes.computing != 1:
        return
    wanted = dict.fromkeys([*choices, *(choice.operand for choice in choices.values())])
    shown = {value: (expected, found) for value, expected, found in passes.tensors([*wanted])}
    for value, choice in choices.items():
        if value not in shown or choice.operand not in shown:
            continue
        if are_tied(shown[choice.operand][0], *shown[value], choice.settings):
            passes.measured[value] = replace(passes.measured[value], tied=True)


def _choice(graph: Graph, item: Measured) -> _Choice | None:
    node = graph.producer(item.pair.candidate)
    dtypes = item.reference_dtype, item.candidate_dtype
    if node is None or not node.inputs or not all("int" in (dtype or "") for dtype in dtypes):
        return None
    operation = Subgraph(graph, item, 1, None).operation(node)
    settings = operation.settings if operation is not None else None
    return _Choice(node.inputs[0], settings) if isinstance(settings, Sort | ArgMax) else None


def margins(graph: Graph, passes: Passes, item: Measured) -> float | None:
    """How far apart the numbers lie, in the reference, that the two sides choose otherwise; None of other choices."""
    choice = _choice(graph, item)
    pair = None if choice is None else passes.measured.get(choice.operand)
    if choice is None or pair is None or pair.pair.axes is not None or item.pair.axes is not None:
        return None
    shown = {
        value: (left, right)
        for value, left, right in passes.tensors([item.pair.candidate, choice.operand], local=False)
    }
    if shown.keys() < {item.pair.candidate, choice.operand}:
        return None
    picked = _picked(shown[choice.operand][0], *shown[item.pair.candidate], choice.settings)
    return None if picked is None else float(np.abs(picked[0] - picked[1]).max(initial=0.0))


def are_tied(operand: Array, expected: Array, found: Array, settings: Sort | ArgMax) -> bool:
    """Whether two tensors of places pick the same numbers but for ``UNITS`` of rounding, no place twice."""
    picked = _picked(operand, expected, found, settings)
    if picked is None:
        return False
    left, right = picked
    unit = float(np.spacing(operand.dtype.type(1))) / 2 if operand.dtype.kind == "f" else 0.0
    with np.errstate(invalid="ignore"):
        return bool(((left == right) | (np.abs(left - right) <= UNITS * unit * (np.abs(left) + np.abs(right)))).all())


def _picked(operand: Array, expected: Array, found: Array, settings: Sort | ArgMax) -> tuple[Array, Array] | None:
    """The numbers at two tensors of places; None where they are none, or one of them comes twice."""
    axis: int | None = settings.axis
    wide = np.asarray(operand, np.float64)
    places = [np.asarray(each).astype(np.int64) for each in (expected, found)]
    if axis is None:
        wide, axis = wide.reshape(-1), 0
        places = [each.reshape(-1) for each in places]
    elif places[0].ndim < wide.ndim:
        places = [np.expand_dims(each, axis) for each in places]
    if any(each.ndim != wide.ndim or each.min() < 0 or each.max() >= wide.shape[axis] for each in places):
        return None
    if any((np.diff(np.sort(each, axis), axis=axis) == 0).any() for each in places):
        return None
    left, right = (np.take_along_axis(wide, each, axis) for each in places)
    return left, right
