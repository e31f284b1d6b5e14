"""Sums, products and their operands: missing, swapped, changed, frozen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

from aligner.diagnosis.cause import Cause, Claim, Proof
from aligner.diagnosis.constant_operands import (
    ConstantOperand,
    constant_pairs,
    differ,
    how_far,
    in_candidates_form,
    relation,
    same_tables,
)
from aligner.diagnosis.replay.operation import Operation, Unsupported
from aligner.diagnosis.scene import Part, Scene, change_node
from aligner.diagnosis.survey import Survey
from aligner.records.graph import Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

_WRITTEN = 1.1
"""Numbers that stand in both graphs and differ say more than a hypothesis that fits as well."""
_DERIVED = 0.7
"""Of constants that are computed, a cause that knows by what says more."""
_BINARY = ("add", "sub", "mul", "div", "pow", "minmax", "binary")


class OperandSwapped(Cause):
    """a − b became b − a; the factors of a product of matrices exchanged; the arms of a choice."""

    id: ClassVar[str] = "operand-swapped"
    prior: ClassVar[float] = 0.94

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """The operands in the other order."""
        if not scene.gap > 0:
            return
        for part, node, operation in scene.nodes("sub", "div", "pow", "matmul", "where", "binary", "attention"):
            for data in _swaps(operation):
                yield Claim(
                    f"{scene.where} has its operands in another order",
                    "swap the operands back",
                    "with the operands in the reference's order",
                    scene.replaced(part, node, operation.with_data(*data)),
                    side=part.side,
                    only_proven=True,
                    needed=0.98,
                )


def _swaps(operation: Operation) -> Iterator[tuple[Array, ...]]:
    data = list(operation.data)
    places = range(1 if operation.kind == "where" else 0, len(data))
    for a, b in combinations(places, 2):
        swapped = list(data)
        swapped[a], swapped[b] = swapped[b], swapped[a]
        yield tuple(swapped)


class ConstantChanged(Cause):
    """A number in the graph is not the reference's: two constants merged, one folded wrongly, one lost."""

    id: ClassVar[str] = "constant-changed"
    prior: ClassVar[float] = 0.8

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """The reference's constants in the candidate's nodes; then the factor or offset that the outputs show."""
        if scene.expected is None or scene.found is None:
            return
        for mine, theirs in constant_pairs(scene):
            right = in_candidates_form(scene, mine, theirs)
            if right is None or not differ(mine.array, right) or same_tables(scene, mine, theirs):
                continue
            yield _written(scene, mine, theirs, right)
        if scene.gap > 0:
            yield from self._solved(scene)

    def _solved(self, scene: Scene) -> Iterator[Claim]:
        """A constant of either side replaced by the number that fits best."""
        for part, node, operation in scene.nodes(*_BINARY):
            for place in (0, 1):
                if len(operation.data) != 2 or operation.data[place].size != 1:
                    continue
                if not is_constant(part, node, place, operation):
                    continue
                value = float(operation.data[place].reshape(()))
                fitted = fitted_constant(scene, part, node, operation, place)
                if fitted is None or math.isclose(fitted, value, rel_tol=1e-6):
                    continue
                data = list(operation.data)
                data[place] = data[place] * 0 + fitted
                wrong, right = (fitted, value) if part.side == 0 else (value, fitted)
                yield Claim(
                    f"{scene.where} computes with {wrong:.6g} where the reference has {right:.6g}",
                    f"give {scene.where} the constant {right:.6g}",
                    f"with {right:.6g} instead of {wrong:.6g}",
                    scene.replaced(part, node, operation.with_data(*data)),
                    side=part.side,
                    only_proven=True,
                    weight=0.9,
                    needed=0.99,
                )


def is_constant(part: Part, node: Node, place: int, operation: Operation) -> bool:
    """Whether an operand is a stored number, or a single one beside a tensor."""
    names = [name for name in node.inputs if name]
    if len(names) < 2:
        return operation.data[place].size == 1 and operation.data[1 - place].size > 1
    return place < len(names) and part.constant(names[place])


def _written(scene: Scene, mine: ConstantOperand, theirs: ConstantOperand, right: Array) -> Claim:
    """The claim that the two constants should be one."""
    node, other = mine.node, mine.replaced_by(right)
    evidence, suggestion, change = _words(scene, mine, theirs, right)
    simple = mine.array.size > 1 and relation(mine.array, right) is not None
    as_stored = mine.stored and theirs.stored
    claim = Claim(
        evidence,
        suggestion,
        change,
        scene.replaced(scene.candidate, node, other),
        side=1,
        weight=_WRITTEN if as_stored else _DERIVED,
        only_proven=not as_stored,
        node=node.name,
        written=as_stored and not simple,
    )
    return _where_infinite(scene, node, other, claim)


def _words(scene: Scene, mine: ConstantOperand, theirs: ConstantOperand, right: Array) -> tuple[str, str, str]:
    """Evidence, suggestion and change."""
    wrong, node = mine.array, mine.node
    if wrong.size == 1 and right.size == 1:
        was, should = (f"{float(each.reshape(-1)[0]):.6g}" for each in (wrong, right))
        what = "fill value" if node.kind == "where" and mine.place else "constant"
        return (
            f"the {what} of {node.name} is {was}, the reference's {should}",
            f"give {node.name} the {what} {should}",
            f"with {should} instead of {was}",
        )
    names = _called(scene.candidate, mine), _called(scene.reference, theirs)
    how = relation(wrong, right)
    far = f"{how}, {how_far(wrong, right)}" if how else how_far(wrong, right)
    return (
        f"{node.name} reads {names[0]}, the reference {names[1]}: {far}",
        f"store the reference's values of {names[1]} there: export again once the buffer holds its final values",
        f"with {names[1]} of the reference in its place",
    )


def _called(part: Part, operand: ConstantOperand) -> str:
    """A constant by the names of the weights it is made of."""
    names = [part.graph.weights[name].name for name in operand.sources]
    if not names or operand.name is None:
        return "a constant"
    return names[0] if operand.stored else f"{operand.name} (computed from {', '.join(names[:2])})"


def _where_infinite(scene: Scene, node: Node, other: Operation, claim: Claim) -> Claim:
    """The claim with a proof that counts elements, where one side alone is infinite and a distance says nothing."""
    import numpy as np

    expected, found, part = scene.expected, scene.found, scene.candidate
    if expected is None or found is None or (np.isfinite(expected) == np.isfinite(found)).all():
        return claim
    try:
        again = scene.in_order(part.replay(change_node(node, lambda operation: operation)), 1)
        changed = scene.in_order(part.replay(change_node(node, lambda _: other)), 1)
    except Unsupported:
        return replace(claim, predict=None)
    if again is None or changed is None or _unlike(again, found).any():
        return replace(claim, predict=None)
    before, after = int(_unlike(found, expected).sum()), int(_unlike(changed, expected).sum())
    left = (
        f"{after} of {before} elements that differed are left"
        if after
        else f"all {before} elements that differed agree"
    )
    text = f"{claim.evidence}; {claim.change} {left}, infinite ones included"
    return replace(claim, evidence=text, change="", measured=Proof(1 - after / max(before, 1), math.inf, 0.0))


def _unlike(left: Array, right: Array) -> Array:
    import numpy as np

    return ~np.isclose(left.astype(np.float64), right.astype(np.float64), rtol=1e-4, atol=1e-6, equal_nan=True)


def fitted_constant(scene: Scene, part: Part, node: Node, operation: Operation, place: int) -> float | None:
    """Solve f(c) = target for the constant, by replays with others in its place."""
    import numpy as np

    target = scene.target(part.side)
    if len(operation.data) != 2 or operation.data[place].size != 1 or not is_constant(part, node, place, operation):
        return None
    value = float(operation.data[place].reshape(()))
    if target is None or operation.kind not in {"add", "sub", "mul", "div"}:
        return None

    def output(constant: float) -> Array | None:
        data = list(operation.data)
        data[place] = np.asarray(constant, dtype=np.float64)
        return scene.replaced(part, node, operation.with_data(*data))()

    inverse = operation.kind == "div" and place == 1
    start = 1 / value if inverse and value else value
    found = _solved_for(lambda at: output(1 / at if inverse else at), target, start)
    return 1 / found if inverse and found else found


def _solved_for(output: Callable[[float], Array | None], target: Array, start: float) -> float | None:
    """The argument whose output comes closest: exact in one step where it is linear, Gauss and Newton's else."""
    import numpy as np

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
_LARGEST = 1 << 20
_AHEAD = (1.5, 1.001)
"""How far the second look goes: far where all may be linear, near where it has turned out not to be."""
_SETTLED = 1e-7


class ReduceAxis(Cause):
    """Means, sums and deviations over other axes, or divided by n instead of n − 1."""

    id: ClassVar[str] = "reduce-axis-or-bias"
    prior: ClassVar[float] = 0.9

    def claims(self, scene: Scene, survey: Survey) -> Iterator[Claim]:
        """Every other set of axes, correction and reduction."""
        if not scene.gap > 0:
            return
        yield from self._unbiased(scene)
        for part, node, operation in scene.nodes("reduce"):
            settings = operation.settings
            for words, changed in _reductions(operation):
                wrong, right = (words, _reduced(settings)) if part.side == 0 else (_reduced(settings), words)
                yield Claim(
                    f"{scene.where} takes the {wrong}, the reference the {right}",
                    f"take the {right}",
                    f"with the {right}",
                    scene.replaced(part, node, changed),
                    side=part.side,
                    only_proven=True,
                    needed=0.98,
                )

    def _unbiased(self, scene: Scene) -> Iterator[Claim]:
        """A mean or deviation that divides by n − 1 on one side only: a constant factor."""
        if scene.expected is None:
            return
        counts = [("", _averaged(operation)) for _, _, operation in scene.nodes("reduce", "avg_pool")]
        for name, count in dict.fromkeys([*counts, *(("", count) for _, count in _before(scene)), *_before(scene)]):
            read = scene.reference.array(name) if name else None
            if count < 2 or (name and read is None):
                continue
            for words, factor in (
                ("n − 1 instead of n", count / (count - 1)),
                ("n instead of n − 1", (count - 1) / count),
                ("√(n − 1) instead of √n", math.sqrt(count / (count - 1))),
                ("√n instead of √(n − 1)", math.sqrt((count - 1) / count)),
            ):
                yield Claim(
                    f"{scene.where} divides by {words}, n being {count}",
                    "use the same correction (unbiased, ddof) in both models",
                    "with the reference's divisor",
                    _held(scene.expected * factor)
                    if read is None
                    else scene.swapped(scene.reference, name, read * factor),
                    only_proven=True,
                    needed=0.999,
                )


def _before(scene: Scene) -> list[tuple[str, int]]:
    """What the region reads from a reduction, and how many elements that averages."""
    found = []
    for part in scene.parts:
        for node in part.graph.nodes:
            if node.kind not in {"reduce", "avg_pool"} or not set(node.outputs[:1]) & set(part.region.inputs):
                continue
            shapes = [part.graph.values[n].shape for n in (node.inputs[0], node.outputs[0]) if n in part.graph.values]
            sizes = [math.prod(d or 0 for d in shape) for shape in shapes if shape is not None]
            if len(sizes) == 2 and sizes[1]:
                found.append((node.outputs[0], sizes[0] // sizes[1]))
    return found


def _averaged(operation: Operation) -> int:
    """How many elements each output averages; 0 where that differs or is not known."""
    x, settings = operation.data[0], operation.settings
    if operation.kind == "reduce":
        return math.prod(x.shape[a] for a in settings["axes"])
    if operation.kind == "avg_pool":
        return int(math.prod(settings["kernel"]))
    inner = x.shape[1:-1] if settings["channels"] == "last" else x.shape[2:]
    return math.prod(inner) if set(settings["output_size"]) == {1} else 0


def _reduced(settings: Any) -> str:
    correction = f" with n − {settings['correction']:g}" if settings["form"] in {"var", "std"} else ""
    return f"{settings['form']} over axes {settings['axes']}{correction}"


def _reductions(operation: Operation) -> Iterator[tuple[str, Operation]]:
    rank, settings = operation.data[0].ndim, operation.settings
    changes: list[dict[str, Any]] = []
    if settings["form"] in {"var", "std"}:
        changes.append({"correction": 0.0 if settings["correction"] else 1.0})
        changes.append({"form": "std" if settings["form"] == "var" else "var"})
    for size in range(1, rank + 1):
        changes += [{"axes": axes} for axes in combinations(range(rank), size) if axes != settings["axes"]]
    changes += [{"form": form} for form in ("mean", "sum", "max", "min") if form != settings["form"]]
    for change in changes:
        changed = replace(operation, settings={**settings, **change})
        yield _reduced(changed.settings), changed


def _held(array: Array) -> Any:
    return lambda: array
