"""Numbers that stand in a graph and are not the reference's: fill values, factors, buffers of a stale export."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from aligner.causes.cause import Cause, Claim
from aligner.causes.constant_maker import first_apart, wrong_weight
from aligner.causes.constant_operands import (
    ConstantOperand,
    constant_pairs,
    differ,
    how_far,
    in_candidates_form,
    normalises,
    relation,
)
from aligner.causes.context import Context
from aligner.causes.families.elementwise import fitted_constant, is_constant
from aligner.causes.weight_cause import coarser
from aligner.errors import listing
from aligner.numerics import relations
from aligner.operations.kinds import BINARY, LINEAR, SCALES, ordered
from aligner.operations.operation import Operation
from aligner.parameters.folding import FOLDED, output_axis, output_factors
from aligner.records.array import Array
from aligner.records.graph import Node
from aligner.regions.culprit import Counterfactual, Culprit
from aligner.regions.layer_numbers import differing
from aligner.regions.layers import LayerPair, layer_pairs
from aligner.regions.subgraph import Change, Subgraph


class ConstantChanged(Cause):
    """A number in the graph is not the reference's: two constants merged, one folded wrongly, one lost."""

    id: ClassVar[str] = "constant-changed"
    fix: ClassVar[str] = "give the node the reference's number, or export again after its last change"
    example: ClassVar[str] = "a fill value of −100 for −∞; a buffer that changed after the export"
    unspecific: ClassVar[bool] = True
    needs_error: ClassVar[bool] = False

    def claims(self, culprit: Culprit, context: Context) -> Iterator[Claim]:
        """The reference's constants in the candidate's nodes; then the factor or offset that the outputs show."""
        if culprit.expected is None or culprit.found is None:
            return
        found = [
            (mine, theirs, right)
            for mine, theirs in constant_pairs(culprit)
            if (right := in_candidates_form(culprit, mine, theirs)) is not None and differ(mine.array, right)
        ]
        for one in found:
            yield _written(culprit, [one])
        if len(found) > 1:
            yield _written(culprit, found)
        yield from _folded(culprit)
        yield from _kernels(culprit)
        yield from _all_kernels(culprit)
        if culprit.gap > 0:
            yield from self._solved(culprit)

    def _solved(self, culprit: Culprit) -> Iterator[Claim]:
        """A constant of either side replaced by the number that fits best."""
        for subgraph, node, operation in culprit.nodes(*BINARY):
            for place in (0, 1):
                if len(operation.data) != 2 or operation.data[place].size != 1:
                    continue
                if not is_constant(subgraph, node, place, operation):
                    continue
                value = float(operation.data[place].reshape(()))
                fitted = fitted_constant(culprit, subgraph, node, operation, place)
                if fitted is None or math.isclose(fitted, value, rel_tol=1e-6):
                    continue
                data = list(operation.data)
                data[place] = data[place] * 0 + fitted
                wrong, right = (fitted, value) if subgraph.side == 0 else (value, fitted)
                yield Claim(
                    f"{culprit.where} computes with {wrong:.6g} where the reference has {right:.6g}",
                    f"give {culprit.where} the constant {right:.6g}",
                    f"with {right:.6g} instead of {wrong:.6g}",
                    culprit.replaced(subgraph, node, operation.with_data(*data)),
                    parameters=1,
                    vague=True,
                )


Differing = tuple[ConstantOperand, ConstantOperand, "Array"]
"""A constant of the candidate, the reference's that answers it, and that as the candidate would hold it."""


def _written(culprit: Culprit, found: list[Differing]) -> Claim:
    """The claim that each of these constants should be the reference's."""
    words = [_words(culprit, *one) for one in found]
    others: dict[int, Operation] = {}
    for mine, _, right in found:
        others[mine.node.index] = mine.replaced_by(right, others.get(mine.node.index))
    as_stored = all(mine.stored and theirs.stored for mine, theirs, _ in found)
    simple = any(mine.array.size > 1 and _related(mine.array, right) is not None for mine, _, right in found)
    change = _given(others)
    return Claim(
        "; ".join(each[0] for each in words),
        "; ".join(dict.fromkeys(each[1] for each in words)),
        words[0][2] if len(words) == 1 else "with the reference's values in their places",
        Counterfactual(culprit, 1, change),
        only_proven=not as_stored or len(found) > 1,
        node=_made_by(culprit, *found[0][:2]),
        written=as_stored and not simple,
        vague=not as_stored,
    )


def _folded(culprit: Culprit) -> Iterator[Claim]:
    """A factor of the reference that the candidate holds inside a kernel, with other numbers than the reference's."""
    for pair in layer_pairs(culprit):
        layer, kernel = pair.reference, pair.candidate.parameters.get("kernel")
        if layer.raw is None or layer.scale is None or kernel is None or normalises(culprit.reference, layer.taken):
            continue
        found = output_factors(layer.raw, kernel, output_axis(layer.operation, layer.raw) or 0)
        products = [n for n in (culprit.reference.graph.nodes[i] for i in layer.taken) if n.kind in SCALES]
        if found is None or not products or not differ(found, layer.scale, FOLDED):
            continue
        stored = [weight.name for n in products for name in n.inputs if (weight := culprit.reference.stored(name))]
        product = ", ".join(stored) or products[0].name
        node, right = pair.candidate.node, pair.candidate.bare(_right(pair))
        yield Claim(
            f"the kernel of {node.name} holds the reference's times a factor for each output, which is not "
            f"{product}: {how_far(found, layer.scale)}",
            f"export again after the last change of {product}: it is folded into {node.name}",
            "with the reference's factor folded in",
            culprit.prediction(culprit.candidate, node, _holding(right)),
            written=True,
            only_proven=True,
            node=node.name,
        )


def _kernels(culprit: Culprit) -> Iterator[Claim]:
    """A layer's weights that the candidate computes, of others or in another way, where the reference's are known."""
    wanted = list(_read_by_layers(culprit.reference))
    for node, name, wrong in _read_by_layers(culprit.candidate):
        maker = culprit.candidate.graph.producer(name)
        fits = [(its, right) for _, its, array in wanted if (right := _laid(array, wrong)) is not None]
        if maker is None or not all(differ(wrong, right) for _, right in fits):
            continue
        for its, right in fits:
            if _only_moved(culprit, name, wrong) and not relations.same_numbers(right, wrong):
                continue  # no way to move them makes them the reference's: the weight is another one
            by = first_apart(culprit, name, its) or maker
            yield Claim(
                f"the weights {name} of {node.name}, computed by {by.name}, do not hold the values of the reference's "
                f"{its}: {how_far(wrong, right)}",
                f"compare what {by.name} is computed from, node by node: {node.name} needs the reference's values",
                "with the reference's values in their place",
                culprit.swapped(culprit.candidate, name, right),
                only_proven=True,
                vague=True,
                node=by.name,
            )


def _all_kernels(culprit: Culprit) -> Iterator[Claim]:
    """Several layers whose weights are all not those of the reference's layers, one after the other."""
    wanted, held = (list(_read_by_layers(subgraph)) for subgraph in culprit.subgraphs)
    laid = [_laid(right, wrong) for (*_, right), (*_, wrong) in zip(wanted, held, strict=False)]
    if len(wanted) != len(held) or any(right is None for right in laid):
        return
    matched = zip(wanted, held, laid, strict=True)
    found = [(one, its, right) for (_, its, _), one, right in matched if right is not None and differ(one[2], right)]
    if len(found) < 2:
        return
    words = [
        f"the weights {name} of {node.name} do not hold the values of the reference's {its}: {how_far(wrong, right)}"
        for (node, name, wrong), its, right in found
    ]
    names = listing([node.name for (node, *_), *_ in found])
    yield Claim(
        "; ".join(words),
        f"compare what the weights of {names} are computed from, node by node",
        "with the reference's values in their places",
        Counterfactual(culprit, 1, Change(arrays={name: right for (_, name, _), _, right in found})),
        only_proven=True,
        vague=True,
        node=found[0][0][0].name,
    )


def _read_by_layers(subgraph: Subgraph) -> Iterator[tuple[Node, str, Array]]:
    for node in subgraph.of_kind(*ordered(LINEAR)):
        for name in node.inputs:
            if name and not subgraph.varies(name) and (array := subgraph.array(name)) is not None and array.ndim > 1:
                yield node, name, array


def _only_moved(culprit: Culprit, name: str, array: Array) -> bool:
    stored = culprit.candidate.stored(name)
    return stored is not None and relations.same_numbers(stored.values(), array)


def _laid(right: Array, wrong: Array) -> Array | None:
    """Weights as the other side stores them: alike, or as a matrix and its transpose."""
    return next((each for each in (right, right.T) if each.shape == wrong.shape), None)


def _holding(right: dict[str, Array]) -> Callable[[Operation], Operation]:
    return lambda operation: operation.with_parameters(**right)


def _right(pair: LayerPair) -> dict[str, Array]:
    return {role: pair.reference.parameters[role] for role in differing(pair) if role in pair.reference.parameters}


def _given(others: dict[int, Operation]) -> Change:
    return Change(operations={index: _always(other) for index, other in others.items()})


def _always(other: Operation) -> Any:
    return lambda _: other


def _words(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand, right: Array) -> tuple[str, str, str]:
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
    (own, of), (its, named) = _called(culprit.candidate, mine), _called(culprit.reference, theirs)
    how = _related(wrong, right)
    if not mine.stored:
        return _computed(culprit, mine, theirs, f"{f'{how}; ' if how else ''}{how_far(wrong, right)}")
    return (
        f"the constant{own}{of} of {node.name} does not hold the values of the reference's{its or ' constant'}{named}: "
        f"{f'{how}; ' if how else ''}{how_far(wrong, right)}",
        f"export again after the last change of{its or ' the constant'}: {node.name} needs these values",
        "with the reference's values in their place",
    )


def _computed(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand, apart: str) -> tuple[str, str, str]:
    """Likewise of a constant that is computed: the fault may lie anywhere on the way to it."""
    (own, of), (its, named) = _called(culprit.candidate, mine), _called(culprit.reference, theirs)
    maker = _maker(culprit, mine, theirs)
    by = maker.name if maker else mine.node.name
    astray = wrong_weight(culprit, mine, theirs)
    weight = f"; on the way {astray.node.name} reads {astray.name} for {astray.right}" if astray else ""
    return (
        f"the constant{own}{of} of {mine.node.name}, computed by {by}, does not hold the values of the "
        f"reference's{its or ' constant'}{named}: {apart}{weight}",
        f"compare what {by} is computed from, node by node: {mine.node.name} needs the reference's values",
        "with the reference's values in their place",
    )


def _made_by(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand) -> str:
    """The node to open: one that reads another weight, makes wrong numbers, or reads the constant."""
    astray = None if mine.stored else wrong_weight(culprit, mine, theirs)
    return (astray.node if astray else _maker(culprit, mine, theirs) or mine.node).name


def _maker(culprit: Culprit, mine: ConstantOperand, theirs: ConstantOperand) -> Node | None:
    if mine.stored:
        return None
    return first_apart(culprit, mine.name or "", theirs.name or "") or culprit.candidate.graph.producer(mine.name or "")


def _related(wrong: Array, right: Array) -> str | None:
    """Words for constants that follow from the reference's, a copy in fewer bits among them."""
    fewer = coarser(right, wrong) if wrong.dtype.kind == right.dtype.kind == "f" else None
    return relation(wrong, right) or (f"{fewer} the reference's" if fewer else None)


def _called(subgraph: Subgraph, operand: ConstantOperand) -> tuple[str, str]:
    """The weights that a constant is made of, after a space, and as what a computed one is read."""
    weights = [subgraph.graph.weights[name] for name in operand.sources]
    tables = [weight for weight in weights if "int" not in weight.dtype] or weights
    names = ", ".join(weight.name for weight in tables[:2])
    if not names or operand.name is None:
        return "", ""
    return f" {names}", "" if operand.stored else f" (as {operand.name})"
