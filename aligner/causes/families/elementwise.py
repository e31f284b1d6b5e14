"""Sums, products and reductions: operands swapped, constants solved for, other axes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim, held
from aligner.causes.context import Context
from aligner.causes.setting_cause import is_borrowed
from aligner.operations.kinds import AFFINE, AVERAGES, BINARY
from aligner.operations.operation import Operation
from aligner.operations.settings import AdaptivePool, ArgMax, Pool, Reduce, RunningSum, Sort
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Culprit
from aligner.regions.subgraph import Subgraph


class OperandSwapped(Cause):
    """a − b became b − a, or a + b; the factors of a product of matrices exchanged; the arms of a choice."""

    id: ClassVar[str] = "operand-swapped"
    fix: ClassVar[str] = "swap the operands back"
    example: ClassVar[str] = "b − a for a − b"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The other side's operation on the same operands; the operands in the other order."""
        yield from _other_operations(culprit)
        for subgraph, node, operation in culprit.nodes("sub", "div", "pow", "matmul", "where", "binary", "attention"):
            for data in _swaps(operation):
                yield Claim(
                    f"{culprit.where} has its operands in another order",
                    self.fix,
                    "with the operands in the reference's order",
                    culprit.replaced(subgraph, node, operation.with_data(*data)),
                )


def _other_operations(culprit: Culprit) -> Iterator[Claim]:
    """An operation of two operands that only one side runs, with one that only the other side runs in its place."""
    found = [
        [(node, one) for node in p.of_kind(*BINARY) if (one := p.operation(node)) is not None]
        for p in culprit.subgraphs
    ]
    counts = [Counter(one.kind for _, one in side if one.kind in _EXCHANGED) for side in found]
    for side in (1, 0):
        surplus, missing = counts[side] - counts[1 - side], counts[1 - side] - counts[side]
        for node, operation in found[side]:
            for kind in missing if operation.kind in surplus and len(operation.data) == 2 else ():
                wrong, right = (operation.kind, kind) if side else (kind, operation.kind)
                yield Claim(
                    f"{culprit.where} computes {wrong} where the reference computes {right}, from the same operands",
                    f"compute {right}; where the model chooses between the two, a trace keeps one arm of the if",
                    f"with {right} instead of {wrong}",
                    culprit.replaced(culprit.subgraphs[side], node, replace(operation, kind=kind)),
                    written=True,
                    only_proven=True,
                )


_EXCHANGED = AFFINE | {"pow", "maximum", "minimum"}
"""Not the forms of one division, which are a matter of rounding."""


def _swaps(operation: Operation) -> Iterator[tuple[Array, ...]]:
    data = list(operation.data)
    places = range(1 if operation.kind == "where" else 0, len(data))
    for a, b in combinations(places, 2):
        swapped = list(data)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        yield tuple(swapped)


def is_constant(subgraph: Subgraph, node: Node, place: int, operation: Operation) -> bool:
    """Whether an operand is a stored number, or a single one beside a tensor."""
    names = [name for name in node.inputs if name]
    if len(names) < 2:
        return operation.data[place].size == 1 and operation.data[1 - place].size > 1
    return place < len(names) and subgraph.constant(names[place])


def fitted_constant(culprit: Culprit, subgraph: Subgraph, node: Node, operation: Operation, place: int) -> float | None:
    """Solve f(c) = target for the constant, by replays with others in its place."""
    target = culprit.target(subgraph.side)
    if len(operation.data) != 2 or operation.data[place].size != 1 or not is_constant(subgraph, node, place, operation):
        return None
    value = float(operation.data[place].reshape(()))
    if target is None or operation.kind not in AFFINE:
        return None

    def output(constant: float) -> Array | None:
        data = list(operation.data)
        data[place] = np.asarray(constant, dtype=np.float64)
        return culprit.replaced(subgraph, node, operation.with_data(*data))()

    inverse = operation.kind == "div" and place == 1
    start = 1 / value if inverse and value else value
    found = _solved_for(lambda at: output((1 / at if at else math.inf) if inverse else at), target, start)
    return 1 / found if inverse and found else found


def _solved_for(output: Callable[[float], Array | None], target: Array, start: float) -> float | None:
    """The argument whose output comes closest: exact in one step where it is linear, Gauss and Newton's else."""
    at, closest = start, (math.inf, start)
    for step in range(_ROUNDS if target.size <= _LARGEST else 1):
        here, beside = output(at), output(at * _AHEAD[step > 0] + 0.1 * (step == 0))
        if here is None or beside is None or here.shape != target.shape:
            return None
        missing = (target - here).astype(np.float64)
        closest = min(closest, (float(np.square(missing).sum()), at))
        ahead = at * (_AHEAD[step > 0] - 1) + 0.1 * (step == 0)
        slope = (beside - here).astype(np.float64) / ahead if ahead else missing * 0
        energy = float(np.square(slope).sum())
        if not energy or not math.isfinite(energy):
            break
        move = float((slope * missing).sum()) / energy
        at += move
        if abs(move) <= _SETTLED * abs(at):
            return at
    return at if target.size > _LARGEST or closest[0] == math.inf else closest[1]


_ROUNDS = 12
"""Newton's steps: from a factor of two off, digits double from the third on, and float64 has no more after eight."""
_LARGEST = 1 << 20
"""Elements up to which the second and further steps are worth a replay each."""
_AHEAD = (1.5, 1.001)
"""How far the second look goes: far where all may be linear, near where it has turned out not to be."""
_SETTLED = 1e-7
"""Relative move of the argument below which float32 has no more digits: its unit is 6 · 10⁻⁸."""


class ReduceAxis(Cause):
    """Means, sums, deviations and orders over other axes, or divided by n instead of n − 1."""

    id: ClassVar[str] = "reduce-axis-or-bias"
    fix: ClassVar[str] = "reduce over the reference's axes, with its correction"
    example: ClassVar[str] = "std with n instead of n − 1"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Every other set of axes, correction and reduction."""
        for subgraph, node, operation in culprit.nodes(
            "reduce", "avg_pool", "max_pool", "cumsum", "argmax", "sort", "topk"
        ):
            own = _reduced(operation)
            for words, changed in _reductions(operation) if operation.kind == "reduce" else _others(operation):
                wrong, right = (words, own) if subgraph.side == 0 else (own, words)
                yield Claim(
                    f"{culprit.where} takes the {wrong}, the reference the {right}",
                    f"take the {right}",
                    f"with the {right}",
                    culprit.replaced(subgraph, node, changed),
                    borrowed=is_borrowed(culprit, subgraph, node, changed),
                )
        yield from self._unbiased(culprit)

    def _unbiased(self, culprit: Culprit) -> Iterator[Claim]:
        """A mean or deviation that divides by n − 1 on one side only: a constant factor."""
        if culprit.expected is None:
            return
        counts = [("", _averaged(operation)) for _, _, operation in culprit.nodes("reduce", "avg_pool")]
        for name, count in dict.fromkeys([*counts, *(("", count) for _, count in _before(culprit)), *_before(culprit)]):
            read = culprit.reference.array(name) if name else None
            if count < 2 or (name and read is None):
                continue
            for words, factor in (
                ("n − 1 instead of n", count / (count - 1)),
                ("n instead of n − 1", (count - 1) / count),
                ("√(n − 1) instead of √n", math.sqrt(count / (count - 1))),
                ("√n instead of √(n − 1)", math.sqrt((count - 1) / count)),
            ):
                yield Claim(
                    f"{culprit.where} divides by {words}, n being {count}",
                    "use the same correction (unbiased, ddof) in both models",
                    "with the reference's divisor",
                    held(culprit.expected * factor)
                    if read is None
                    else culprit.swapped(culprit.reference, name, read * factor),
                )


def _before(culprit: Culprit) -> list[tuple[str, int]]:
    """What the region reads from a reduction, and how many elements that averages."""
    found = []
    for subgraph in culprit.subgraphs:
        for value in subgraph.region.inputs:
            node = subgraph.graph.producer(value)
            if node is None or node.kind not in AVERAGES or value != node.outputs[0]:
                continue
            shapes = [
                subgraph.graph.values[n].shape for n in (node.inputs[0], node.outputs[0]) if n in subgraph.graph.values
            ]
            sizes = [math.prod(d or 0 for d in shape) for shape in shapes if shape is not None]
            if len(sizes) == 2 and sizes[1]:
                found.append((node.outputs[0], sizes[0] // sizes[1]))
    return found


def _averaged(operation: Operation) -> int:
    """How many elements each output averages; 0 where that differs or is not known."""
    x, settings = operation.data[0], operation.settings
    if isinstance(settings, Reduce):
        return math.prod(x.shape[a] for a in settings.axes)
    if isinstance(settings, Pool):
        return math.prod(settings.kernel)
    adaptive = operation.read(AdaptivePool)
    inner = x.shape[1:-1] if adaptive.channels == "last" else x.shape[2:]
    return math.prod(inner) if set(adaptive.output_size) == {1} else 0


_POOLS = {"avg_pool": "max_pool", "adaptive_avg_pool": "adaptive_max_pool"}
_POOLS |= {other: kind for kind, other in _POOLS.items()}


def _others(operation: Operation) -> Iterator[tuple[str, Operation]]:
    """The other kind of pool, means with and without the border; sums as they run and orders, along other axes too."""
    changed: list[Operation] = []
    if operation.kind in _POOLS:
        changed.append(replace(operation, kind=_POOLS[operation.kind]))
        if operation.kind == "max_pool" and _has_border(operation):
            changed.append(changed[0].with_settings(include_pad=not operation.read(Pool).include_pad))
    if isinstance(settings := operation.settings, RunningSum):
        changed.append(operation.with_settings(reverse=not settings.reverse))
        changed.append(operation.with_settings(exclusive=not settings.exclusive))
    if isinstance(settings, ArgMax | Sort):
        changed.append(operation.with_settings(largest=not settings.largest))
    if isinstance(settings, RunningSum | ArgMax | Sort):
        axes = range(operation.data[0].ndim)
        changed += [operation.with_settings(axis=axis) for axis in axes if axis != settings.axis]
    for other in changed:
        yield _reduced(other), other


def _has_border(operation: Operation) -> bool:
    return any(map(any, operation.read(Pool).pads))


def _reduced(operation: Operation) -> str:
    settings = operation.settings
    if operation.kind in _POOLS:
        counted = operation.kind == "avg_pool" and _has_border(operation) and operation.read(Pool).include_pad
        border = ", the border counted" if counted else ""
        return f"{'mean' if 'avg' in operation.kind else 'largest'} of each window{border}"
    if isinstance(settings, RunningSum):
        ends = ["reverse"] * settings.reverse + ["exclusive"] * settings.exclusive
        return f"{' '.join([*ends, 'running sum'])} along axis {settings.axis}"
    if isinstance(settings, ArgMax | Sort):
        end, where = ("largest" if settings.largest else "smallest"), f"along axis {settings.axis}"
        return f"{end} first {where}" if isinstance(settings, Sort) else f"place of the {end} {where}"
    reduction = operation.read(Reduce)
    correction = f" with n − {reduction.correction:g}" if reduction.form in {"var", "std"} else ""
    return f"{reduction.form} over axes {reduction.axes}{correction}"


def _reductions(operation: Operation) -> Iterator[tuple[str, Operation]]:
    rank, settings = operation.data[0].ndim, operation.read(Reduce)
    changes: list[dict[str, Any]] = []
    if settings.form in {"var", "std"}:
        changes.append({"correction": 0.0 if settings.correction else 1.0})
        changes.append({"form": "std" if settings.form == "var" else "var"})
    for size in range(1, rank + 1):
        changes += [{"axes": axes} for axes in combinations(range(rank), size) if axes != settings.axes]
    changes += [{"form": form} for form in ("mean", "sum", "max", "min", "l1", "l2") if form != settings.form]
    for change in changes:
        changed = operation.with_settings(**change)
        yield _reduced(changed), changed
