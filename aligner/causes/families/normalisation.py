"""Normalisations: epsilon, statistics, train mode; and softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any, ClassVar

import numpy as np

from aligner.adapters.advice import least_values
from aligner.adapters.wording import Topic
from aligner.causes.cause import Cause, Claim
from aligner.causes.constant_operands import constant_pairs
from aligner.causes.context import Context
from aligner.causes.default_norm import DEFAULTS, USUAL, folded_epsilon, solved
from aligner.causes.setting_cause import SettingCause
from aligner.operations.operation import Operation
from aligner.operations.settings import Along, BatchNorm, GroupNorm, InstanceNorm, LayerNorm, Norm, RmsNorm
from aligner.parameters.canonical import canonical
from aligner.records.graph import Node
from aligner.regions.culprit import Counterfactual, Culprit, distance
from aligner.regions.settings import alike
from aligner.regions.subgraph import Subgraph


class NormEpsilon(SettingCause):
    """Keras adds 1e-3 to the variance, PyTorch 1e-5, others 1e-12."""

    id: ClassVar[str] = "norm-epsilon"
    fix: ClassVar[str] = "use one epsilon on both sides"
    example: ClassVar[str] = "Keras's 1e-3 for PyTorch's 1e-5"
    kinds: ClassVar[tuple[str, ...]] = ("norm",)
    names: ClassVar[tuple[str, ...]] = ("epsilon",)

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The usual values; what lies between is solved for by ``claims``."""
        for epsilon in USUAL:
            if epsilon != operation.read(Norm).epsilon:
                yield {"epsilon": epsilon}

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The settings, also where a norm is spelled out; then the value that explains most."""
        yield from super().claims(culprit, context)
        yield from _spelled_out(culprit)
        yield from _outside(culprit)
        if culprit.gap > 0:
            for subgraph, node, operation in culprit.nodes("norm"):
                folded = folded_epsilon(culprit, subgraph, node)
                if not folded and culprit.explained and culprit.written_alike(subgraph, node, operation):
                    continue
                epsilon, needed = folded or (_solved(culprit, subgraph, node), None)
                if epsilon is not None:
                    pair = (epsilon, operation.read(Norm).epsilon)
                    wrong, right = (f"{one:.4g}" for one in (pair if subgraph.side == 0 else pair[::-1]))
                    how = (
                        "has a normalisation folded in with"
                        if folded and subgraph.side == 0
                        else "behaves as if it had"
                    )
                    yield Claim(
                        f"{culprit.where} {how} epsilon {wrong}; the reference has {right}",
                        f"use epsilon {right} in both models{_least(wrong)}",
                        f"with epsilon {right} instead of {wrong}",
                        _with_epsilon(culprit, subgraph, node, epsilon),
                        side=subgraph.side,
                        needed=needed,
                        written=bool(folded),
                    )


_LARGEST_EPSILON = 0.1
"""A larger number under the root is no epsilon: it is part of the formula."""


def _least(wrong: str) -> str:
    """What to do where an epsilon is the least that a framework's own normalisation takes; the file may be of it."""
    names = [name for name, least in least_values("norm", "epsilon").items() if f"{least:.4g}" == wrong]
    return f"; {names[0]}'s normalisation takes none below {wrong}, so give the reference that one" if names else ""


def _spelled_out(culprit: Culprit) -> Iterator[Claim]:
    """Small numbers added under a root, as norms do that are made of single nodes."""
    for mine, theirs in constant_pairs(culprit):
        if mine.node.kind != "add" or mine.array.size != 1 or theirs.array.size != 1:
            continue
        wrong, right = (float(one.array.reshape(())) for one in (mine, theirs))
        node, other = mine.node, theirs.node
        under = _under_root(culprit.candidate, node) and _under_root(culprit.reference, other)
        if under and 0 <= min(wrong, right) < max(wrong, right) <= _LARGEST_EPSILON and not alike(wrong, right):
            yield Claim(
                f"epsilon {wrong:.6g} in {node.op} {node.name}, {right:.6g} in the reference's {other.op}",
                f"give {node.name} epsilon {right:.6g}",
                f"with epsilon {right:.6g} instead of {wrong:.6g}",
                culprit.replaced(culprit.candidate, node, mine.replaced_by(mine.array * 0 + right)),
                node=node.name,
                written=mine.stored,
            )


def _outside(culprit: Culprit) -> Iterator[Claim]:
    """A norm that is spelled out, with a number added to the root where the other side's adds one under it."""
    subgraph = culprit.candidate
    for _, _, fused in culprit.nodes("norm"):
        for node, before, epsilon in _added_to_roots(subgraph):
            meant = fused.read(Norm).epsilon
            spread = subgraph.array(before.inputs[0])
            if spread is not None and not subgraph.of_kind("norm"):
                yield Claim(
                    f"{node.name} adds {epsilon:.6g} to the root, the reference {meant:.6g} under it",
                    f"add epsilon {meant:.6g} to the variance, before {before.name}",
                    f"with epsilon {meant:.6g} under the root",
                    culprit.swapped(subgraph, node.outputs[0], (spread + meant) ** 0.5),
                    node=node.name,
                    written=True,
                )


def _added_to_roots(subgraph: Subgraph) -> Iterator[tuple[Node, Node, float]]:
    """Nodes that add one number to a root, the root's node, the number."""
    for node in subgraph.of_kind("add"):
        makers = [subgraph.graph.producer(name) for name in node.inputs]
        root = next((one for one in makers if one is not None and one.kind == "sqrt"), None)
        numbers = [
            array for name in node.inputs if subgraph.constant(name) and (array := subgraph.array(name)) is not None
        ]
        if root is not None and len(numbers) == 1 and numbers[0].size == 1:
            yield node, root, float(numbers[0].reshape(()))


def _under_root(subgraph: Subgraph, node: Node) -> bool:
    """Whether a square root is all that a node's output goes through."""
    readers = [other for other in subgraph.graph.nodes if set(node.outputs) & set(other.inputs)]
    return bool(readers) and all(other.kind == "sqrt" or _is_root(subgraph, other) for other in readers)


def _is_root(subgraph: Subgraph, node: Node) -> bool:
    operation = subgraph.operation(node) or canonical(subgraph.graph, node, subgraph.shape)
    if operation is not None and operation.kind in {"sqrt", "rsqrt"}:
        return True
    if operation is None or operation.kind != "pow":
        return False
    exponent = operation.data[-1]
    return exponent.size == 1 and abs(float(exponent.reshape(()))) == 0.5


def _with_epsilon(culprit: Culprit, subgraph: Subgraph, node: Node, epsilon: float) -> Counterfactual:
    return culprit.prediction(subgraph, node, lambda operation: operation.with_settings(epsilon=epsilon))


def _solved(culprit: Culprit, subgraph: Subgraph, node: Node) -> float | None:
    """The epsilon that leaves the least error, by a golden section over its logarithm; None without a replay."""
    target = culprit.target(subgraph.side)
    if target is None or target.size > 1 << 20:
        return None

    def missing(exponent: float) -> float:
        predicted = _with_epsilon(culprit, subgraph, node, 10.0**exponent)()
        return float("inf") if predicted is None else distance(predicted, target)

    grid = [(missing(e), e) for e in range(-8, 2)]
    least, at = min(grid)
    if least > 0.7 * culprit.gap:
        return None
    low, high = at - 1.0, at + 1.0
    for _ in range(28):
        a, b = high - 0.618 * (high - low), low + 0.618 * (high - low)
        low, high = (low, b) if missing(a) < missing(b) else (a, high)
    return float(10.0 ** ((low + high) / 2))


class NormTrainMode(SettingCause):
    """The batch's own statistics are used instead of the stored ones: eval() was forgotten."""

    id: ClassVar[str] = "norm-train-mode"
    fix: ClassVar[str] = "export in inference mode"
    topic: ClassVar[Topic | None] = "inference-mode"
    example: ClassVar[str] = "batch statistics used in the exported file"
    kinds: ClassVar[tuple[str, ...]] = ("norm",)
    names: ClassVar[tuple[str, ...]] = ("training",)

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """The batch's statistics in place of the stored ones, or the other way round."""
        if isinstance(operation.settings, BatchNorm):
            yield {"training": not operation.settings.training}

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The settings; what to do about it is the same on either side."""
        for claim in super().claims(culprit, context):
            yield replace(
                claim,
                suggestion="switch to inference mode before exporting; for a comparison --eval does, of a live module",
            )


class NormStatistics(Cause):
    """Mean, variance, scale and shift permuted, misread or taken over other axes."""

    id: ClassVar[str] = "norm-statistics"
    fix: ClassVar[str] = "check which vector is which and that all were loaded, the axes and the groups"
    example: ClassVar[str] = "gamma and beta exchanged; running statistics left at 0 and 1"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Other statistics on either side's normalisation; where only one side has folded it, its defaults."""
        for subgraph, node, operation in culprit.nodes("norm"):
            who = culprit.where if subgraph.side == 0 else f"set against {culprit.where}, the reference"
            alike = culprit.written_alike(subgraph, node, operation)
            for words, edited in _statistics(operation):
                claim = self._claim(f"{who} normalises with {words}", culprit.replaced(subgraph, node, edited))
                yield replace(claim, alike=alike)
        for node, words, edited in solved(culprit):
            yield self._claim(f"{node.name} has {words}", culprit.replaced(culprit.candidate, node, edited))

    @staticmethod
    def _claim(evidence: str, predict: Counterfactual) -> Claim:
        return Claim(
            evidence,
            "check which vector is which and that all were loaded, the axes and the groups of this normalisation",
            "with the reference's statistics",
            predict,
        )


def _statistics(operation: Operation) -> Iterator[tuple[str, Operation]]:
    """What a normalisation may do instead, in words, and as an operation: the likelier first."""
    if "variance" in operation.parameters:
        yield from _stored_otherwise(operation)
    yield from _computed_otherwise(operation)
    yield from _exchanged(operation)
    for name, neutral in (("scale", 1.0), ("shift", 0.0)):
        if name in operation.parameters:
            vector = np.full_like(operation.parameters[name], neutral)
            yield f"its {name} left out", operation.with_parameters(**{name: vector})


def _stored_otherwise(operation: Operation) -> Iterator[tuple[str, Operation]]:
    """Stored statistics misread, of another count, or never loaded."""
    parameters, settings = operation.parameters, operation.read(Norm)
    variance = parameters["variance"]
    yield "the variance taken for a deviation", operation.with_parameters(variance=np.square(variance))
    yield "a deviation taken for the variance", operation.with_parameters(variance=np.sqrt(np.abs(variance)))
    count = operation.data[0].size // max(variance.size, 1)
    if count > 1:
        yield "the unbiased variance", operation.with_parameters(variance=variance * count / (count - 1))
        yield "the biased variance", operation.with_parameters(variance=variance * (count - 1) / count)
    own = InstanceNorm(epsilon=settings.epsilon, axis=settings.axis)
    yield "each image's own statistics", replace(operation, settings=own)
    mean = np.zeros_like(parameters["mean"])
    yield "the default mean 0", operation.with_parameters(mean=mean)
    yield "the default variance 1", operation.with_parameters(variance=np.ones_like(variance))
    default = operation.with_parameters(mean=mean, variance=np.ones_like(variance))
    yield "the default statistics, mean 0 and variance 1", default
    bare = default.with_parameters(**{name: np.full_like(parameters[name], DEFAULTS[name]) for name in parameters})
    yield "its default numbers, as if it were left out", bare
    yield "no effect: it is left out", bare.with_settings(epsilon=0.0)


def _computed_otherwise(operation: Operation) -> Iterator[tuple[str, Operation]]:
    """Statistics of the input over other axes or groups, with or without the mean."""
    settings, shape = operation.read(Norm), operation.data[0].shape
    if isinstance(settings, LayerNorm):
        yield "the unbiased variance", operation.with_settings(correction=1.0)
        rms = RmsNorm(epsilon=settings.epsilon, axis=settings.axis, axes=settings.axes)
        yield "the mean left in", replace(operation, settings=rms)
    if isinstance(settings, RmsNorm):
        layer = LayerNorm(epsilon=settings.epsilon, axis=settings.axis, axes=settings.axes)
        yield "the mean taken out", replace(operation, settings=layer)
    if isinstance(settings, (LayerNorm, RmsNorm)):
        for size in range(1, len(shape)):
            for axes in combinations(range(len(shape)), size):
                if axes != settings.axes and [shape[a] for a in axes] == [shape[a] for a in settings.axes]:
                    yield f"axes {axes} instead of {settings.axes}", operation.with_settings(axes=axes)
    if isinstance(settings, GroupNorm):
        channels = shape[settings.axis]
        for groups in range(1, channels + 1):
            if channels % groups == 0 and groups != settings.groups:
                yield f"{groups} groups instead of {settings.groups}", operation.with_settings(groups=groups)


def _exchanged(operation: Operation) -> Iterator[tuple[str, Operation]]:
    """Vectors in each other's place."""
    parameters = operation.parameters
    names = [name for name in ("scale", "shift", "mean", "variance") if name in parameters]
    if len({parameters[name].size for name in names}) != 1 or operation.data[0].size > 1 << 18:
        return
    for order in permutations(names):
        moved = [name for name, other in zip(names, order, strict=True) if name != other]
        if moved:
            swapped = {name: parameters[other] for name, other in zip(names, order, strict=True)}
            yield f"{' and '.join(moved)} in each other's place", operation.with_parameters(**swapped)


class SoftmaxAxis(SettingCause):
    """Probabilities that add up to one along another axis; a logarithm more or less."""

    id: ClassVar[str] = "softmax-axis"
    fix: ClassVar[str] = "normalise along the reference's axis"
    example: ClassVar[str] = "dim=1 for dim=-1"
    kinds: ClassVar[tuple[str, ...]] = ("softmax", "log_softmax")
    names: ClassVar[tuple[str, ...]] = ()

    def others(self, operation: Operation, culprit: Culprit) -> Iterator[Mapping[str, Any]]:
        """Every other axis."""
        for axis in range(operation.data[0].ndim):
            if axis != operation.read(Along).axis:
                yield {"axis": axis}
