"""Attention: masks and scales, as one operation or spelled out around a softmax."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import numpy as np

from aligner.causes.cause import Cause, Claim
from aligner.causes.constant_operands import constant_pairs, in_candidates_form, operand_name
from aligner.causes.context import Context
from aligner.causes.families.elementwise import fitted_constant
from aligner.numerics.masking import MASKED
from aligner.operations.kinds import AFFINE, LAYOUT, LINEAR
from aligner.operations.operation import Operation
from aligner.operations.settings import Attention, Product
from aligner.records.array import Array
from aligner.records.dataclass import dataclass
from aligner.records.graph import Graph, Node
from aligner.regions.culprit import Culprit
from aligner.regions.settings import alike
from aligner.regions.subgraph import Subgraph

_STEPS = 5
"""Nodes between scores and softmax: scale, mask, a cast there and back, a reshape."""
_ON_THE_WAY = AFFINE | LAYOUT | {"where"}
"""What may lie between a product of matrices, the scaling of it and the softmax."""


def leads_to_softmax(graph: Graph, values: tuple[str, ...], steps: int = _STEPS) -> bool:
    """Whether a softmax reads one of the values within a few elementwise steps."""
    reached = set(values)
    for _ in range(steps):
        readers = [node for value in reached for node in graph.readers(value)]
        if any(node.kind == "softmax" for node in readers):
            return True
        reached = {v for n in readers if n.kind in _ON_THE_WAY for v in n.outputs}
        if not reached:
            return False
    return False


class AttentionMask(Cause):
    """The mask is ignored, inverted, or only causal on one side."""

    id: ClassVar[str] = "attention-mask"
    fix: ClassVar[str] = "pass the mask on unchanged; build causal masks inside the model"
    example: ClassVar[str] = "a causal mask lost in the export, or beginning one diagonal too late"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Masks that hide other places; the mask left out or turned around, the causal flag toggled."""
        yield from _other_places(culprit)
        yield from _anothers_mask(culprit)
        for subgraph, node, operation in culprit.nodes("attention", "add", "where"):
            if operation.kind != "attention" and not leads_to_softmax(subgraph.graph, node.outputs):
                continue
            lacking = len(culprit.subgraphs[1 - subgraph.side].of_kind(node.kind)) < len(subgraph.of_kind(node.kind))
            for words, changed in _masks(operation):
                claim = _claim(
                    culprit, subgraph, node, words, changed, "the mask", "pass the attention mask on unchanged"
                )
                missing = lacking and words == _IGNORES
                told = claim.evidence.replace(_IGNORES, "applies no mask") if missing else claim.evidence
                yield replace(claim, evidence=told, written=missing, only_proven=True)


_IGNORES = "ignores its mask"


def _other_places(culprit: Culprit) -> Iterator[Claim]:
    """A mask of the candidate in which other places are hidden than in the reference's."""
    for mine, theirs in constant_pairs(culprit):
        right = in_candidates_form(culprit, mine, theirs)
        if right is None or not leads_to_softmax(culprit.candidate.graph, mine.node.outputs):
            continue
        hidden = _hidden(mine.array), _hidden(right)
        if hidden[0].shape != hidden[1].shape or (hidden[0] == hidden[1]).all():
            continue
        if not (hidden[0].any() and hidden[1].any()):
            continue
        node = mine.node
        yield Claim(
            f"the mask at {node.name} hides {_places(hidden[0])}; the reference's hides {_places(hidden[1])}",
            f"give {node.name} a mask that hides {_places(hidden[1])}",
            "with the reference's mask",
            culprit.replaced(culprit.candidate, node, mine.replaced_by(right)),
            node=node.name,
            written=True,
            only_proven=True,
        )


def _anothers_mask(culprit: Culprit) -> Iterator[Claim]:
    """Scores masked otherwise, where attention is one operation on a side: by its mask, as causal, or by both."""
    both = [list(_score_masks(subgraph)) for subgraph in culprit.subgraphs]
    if [len(each) for each in both] != [1, 1] or not any(mask.place is None for each in both for mask in each):
        return
    (theirs,), (mine,) = both
    other = mine.exchanged(theirs.added)
    if other is None or theirs.same_as(mine.added):
        return
    yield Claim(
        f"{mine.node.name} {mine.told}; the reference {theirs.told}",
        f"give {mine.node.name} a mask that {theirs.told}",
        "with the reference's mask",
        culprit.replaced(culprit.candidate, mine.node, other),
        node=mine.node.name,
        written=True,
        only_proven=True,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _ScoreMask:
    """What a node adds to scores [..., queries, keys], −∞ where it hides them; ``place``: which operand of its that is,
    None in attention as one operation.
    """

    node: Node
    operation: Operation
    added: Array
    place: int | None

    @property
    def told(self) -> str:
        """What it hides, or what it adds at most where that is too little to hide anything."""
        hidden, least = _hidden(self.added), float(self.added.min())
        if hidden.any() or not least:
            return f"hides {_places(hidden)}"
        return f"hides no place, it adds {least:.4g} to {int((self.added == least).sum())} of {hidden.size}"

    def same_as(self, added: Array) -> bool:
        """Whether another mask hides the same and adds the same elsewhere."""
        try:
            one, other = np.broadcast_arrays(self.added, added)
        except ValueError:
            return False
        hidden = _hidden(one), _hidden(other)
        return bool((hidden[0] == hidden[1]).all() and np.allclose(one[~hidden[0]], other[~hidden[1]]))

    def exchanged(self, added: Array) -> Operation | None:
        """The operation with that added in its place; None where it does not fit, or its form cannot express it."""
        if self.place is None:
            rest = {role: array for role, array in self.operation.parameters.items() if role != "mask"}
            return replace(self.operation, parameters=rest | {"mask": added}).with_settings(causal=False)
        shape = np.broadcast_shapes(*(each.shape for each in self.operation.data))
        if added.ndim > len(shape) or any(
            n not in (1, m) for n, m in zip(added.shape[::-1], shape[::-1], strict=False)
        ):
            return None
        data = list(self.operation.data)
        if self.operation.kind == "add":
            data[self.place] = added.astype(data[self.place].dtype)
        elif ((added == 0) | _hidden(added)).all():
            data[0] = _hidden(added) == (self.place == 1)
        else:
            return None
        return self.operation.with_data(*data)


def _score_masks(subgraph: Subgraph) -> Iterator[_ScoreMask]:
    """The masks of one side's region, as far as its nodes are understood."""
    for node in subgraph.of_kind("attention", "add", "where"):
        operation = subgraph.operation(node)
        if operation is None:
            continue
        if operation.kind == "attention":
            yield _ScoreMask(node, operation, _added_by(operation), None)
        elif leads_to_softmax(subgraph.graph, node.outputs):
            arrays = operation.data[-2:]
            scores = [
                _are_scores(subgraph, operand_name(subgraph, node, operation, at)) for at in _PLACES[operation.kind]
            ]
            if sum(scores) == 1:
                place = scores.index(False)
                added = arrays[place]
                if operation.kind == "where":
                    added = np.where(operation.data[0].astype(bool) == (place == 0), added, 0.0)
                yield _ScoreMask(node, operation, np.asarray(added, np.float64), _PLACES[operation.kind][place])


_PLACES = {"add": (0, 1), "where": (1, 2)}
"""Which operands may be scores or what masks them."""


def _added_by(operation: Operation) -> Array:
    """What attention as one operation adds to its scores [..., queries, keys]."""
    mask, lengths = operation.parameters.get("mask"), tuple(each.shape[-2] for each in operation.data[:2])
    added = np.zeros(lengths)
    if mask is not None:
        added = added + (np.where(mask, 0.0, -np.inf) if mask.dtype.kind == "b" else mask)
    causal = ~np.tri(*lengths).astype(bool) if operation.read(Attention).causal else False
    return np.where(causal, -np.inf, added)


def _are_scores(subgraph: Subgraph, name: str | None) -> bool:
    """Whether a value is a product of matrices, but for a few steps."""
    names = [name] if name else []
    for _ in range(_STEPS):
        behind = [maker for each in names if (maker := subgraph.graph.producer(each)) is not None]
        if any(each.kind in LINEAR | {"attention"} for each in behind):
            return True
        names = [read for each in behind if each.kind in _ON_THE_WAY for read in each.inputs]
    return False


def _hidden(mask: Array) -> Array:
    """Where a mask hides: true, or a number far below all scores."""
    hidden: Array = mask if mask.dtype.kind == "b" else mask <= MASKED
    return hidden


def _places(hidden: Array) -> str:
    """How many places, and from which diagonal on where a mask is causal."""
    count = f"{int(hidden.sum())} of {hidden.size} places"
    if hidden.ndim < 2 or not hidden.any():
        return count
    plane = hidden.reshape(-1, *hidden.shape[-2:])[0]
    first = int(np.argmax(plane[0])) if plane[0].any() else plane.shape[1]
    causal = (hidden == np.triu(np.ones_like(plane), first)).all()
    return f"{count}, what lies {first} or more after each" if causal else count


def _masks(operation: Operation) -> Iterator[tuple[str, Operation]]:
    if operation.kind == "attention":
        mask = operation.parameters.get("mask")
        if mask is not None:
            rest = {name: array for name, array in operation.parameters.items() if name != "mask"}
            yield _IGNORES, replace(operation, parameters=rest)
            turned = ~mask if mask.dtype.kind == "b" else -mask
            yield "inverts its mask", operation.with_parameters(mask=turned)
            if mask.dtype.kind != "b" and np.isin(mask, (0, 1)).all():
                yield "reads its mask as true and false", operation.with_parameters(mask=mask.astype(bool))
        causal = operation.read(Attention).causal
        words = "applies no causal mask" if causal else "applies a causal mask"
        yield words, operation.with_settings(causal=not causal)
    elif operation.kind == "where":
        condition, left, right = operation.data
        yield "inverts its mask", operation.with_data(~condition.astype(bool), left, right)
        for scores in (left, right):
            if scores.size > 1:
                yield _IGNORES, operation.with_data(condition, scores, scores)
    else:
        left, right = operation.data
        if _is_mask(right):
            yield _IGNORES, operation.with_data(left, np.zeros_like(right))
            yield "inverts its mask", operation.with_data(left, -right)
        if _is_mask(left):
            yield _IGNORES, operation.with_data(np.zeros_like(left), right)


def _is_mask(added: Array) -> bool:
    """Whether an operand leaves some scores as they are and makes nothing of all others, as far as float32 can tell."""
    hidden = added <= math.log(np.finfo(np.float32).eps / 2)
    return bool(hidden.any() and ((added == 0) | hidden).any() and not (added > 0).any())


def _scales_scores(subgraph: Subgraph, node: Node) -> bool:
    """Whether a softmax reads the product, and what is scaled are scores: a product of matrices lies behind it."""
    reaches = leads_to_softmax(subgraph.graph, node.outputs)
    return reaches and any(_are_scores(subgraph, name) for name in node.inputs)


def _claim(
    culprit: Culprit, subgraph: Subgraph, node: Node, words: str, changed: Operation, what: str, advice: str
) -> Claim:
    who = "the candidate" if subgraph.side == 0 else "the reference"
    return Claim(
        f"{who} {words} at {culprit.where}",
        advice,
        f"with {what} as the reference has it",
        culprit.replaced(subgraph, node, changed),
        side=subgraph.side,
    )


class AttentionScale(Cause):
    """The scores are divided by √d twice, not at all, or by something else."""

    id: ClassVar[str] = "attention-scale"
    fix: ClassVar[str] = "scale the scores by 1/√(head width), once"
    example: ClassVar[str] = "a fused attention that scales again what was scaled already"

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """Scales of an attention operation; constants and products before a softmax."""
        advice = self.fix
        for subgraph, node, operation in culprit.nodes("attention"):
            present, width = operation.read(Attention).scale, operation.data[0].shape[-1]
            for scale in (1.0, 1 / width, 1 / math.sqrt(width), width**-0.25, present * present):
                if not math.isclose(scale, present):
                    changed = operation.with_settings(scale=scale)
                    yield _claim(culprit, subgraph, node, f"scales by {scale:.4g}", changed, "the scale", advice)
        for subgraph, node, operation in culprit.nodes("mul", "div", "matmul"):
            if not leads_to_softmax(subgraph.graph, node.outputs):
                continue
            if operation.kind != "matmul" and not _scales_scores(subgraph, node):
                continue
            if operation.kind == "matmul":
                for width in {operation.data[0].shape[-1]}:
                    for scale in (math.sqrt(width), 1 / math.sqrt(width)):
                        changed = operation.with_settings(scale=operation.read(Product).scale * scale)
                        yield _claim(culprit, subgraph, node, f"scales by {scale:.4g}", changed, "the scale", advice)
                continue
            yield from _unscaled(culprit, subgraph, node, operation)
            for place in (0, 1):
                fitted = fitted_constant(culprit, subgraph, node, operation, place)
                if fitted is not None:
                    data = list(operation.data)
                    data[place] = data[place] * 0 + fitted
                    changed = operation.with_data(*data)
                    claim = _claim(culprit, subgraph, node, f"scales by {fitted:.4g}", changed, "the scale", advice)
                    partner = culprit.partner(subgraph, node)
                    theirs = partner[1].data if partner is not None and len(partner[1].data) == 2 else ()
                    written = any(o.size == 1 and alike(float(o.reshape(())), fitted) for o in theirs)
                    yield replace(claim, parameters=1, written=written)


def _unscaled(culprit: Culprit, subgraph: Subgraph, node: Node, operation: Operation) -> Iterator[Claim]:
    """A product that only one side has, by a number: the other side does not scale at all."""
    other = culprit.subgraphs[1 - subgraph.side]
    single = [place for place, array in enumerate(operation.data) if array.size == 1]
    if len(single) != 1 or len(other.of_kind("mul", "div")) >= len(subgraph.of_kind("mul", "div")):
        return
    number = float(operation.data[single[0]].reshape(()))
    who, whom = ("the candidate", "the reference") if subgraph.side == 0 else ("the reference", "the candidate")
    data = list(operation.data)
    data[single[0]] = data[single[0]] * 0 + 1
    factor = number if operation.kind == "mul" else 1 / number if number else 0.0
    yield Claim(
        f"{who} does not scale its scores at {culprit.where}; {whom} does at {node.name}, by {factor:.4g}",
        "scale the scores by 1/√(head width), once",
        "with the scale as the reference has it",
        culprit.replaced(subgraph, node, operation.with_data(*data)),
        written=True,
        only_proven=True,
    )
